/** The one error class users see. Knows nothing of where errors come from; `code` is stable, the message is for people. */

export type ErrorCode =
	| "invalid_option" // an engine option or a command-line flag
	| "invalid_sampling_params"
	| "invalid_prompt" // empty, wrong type, token id out of range
	| "prompt_too_long"
	| "model_not_found" // no such directory or file, no such model, revision or file on the hub
	| "access_denied" // the hub wants a token, or its owner's terms accepted
	| "output_failed" // a disk that is full, a folder that may not be written
	| "download_failed" // network, server, disk or checksum
	| "unsupported_model" // architecture, rope kind, quantization we do not run
	| "invalid_model_config" // config.json broken or contradictory
	| "invalid_tokenizer" // tokenizer files or chat template broken
	| "invalid_chat_template"
	| "invalid_weights" // file truncated, header lying, overlapping offsets
	| "adapter_not_found" // no such folder or file, or none loaded by this name
	| "invalid_adapter" // broken, too large, or made for another model
	| "unsupported_adapter" // kinds we do not run
	| "missing_tensor"
	| "shape_mismatch"
	| "unsupported_dtype"
	| "nan_weights"
	| "nan_logits"
	| "out_of_memory" // no room for weights or a single KV block
	| "device_unavailable"
	| "device_lost"
	| "worker_lost" // the thread with the model crashed or was ended
	| "backend_failed" // a step threw; the requests in it are lost
	| "broker_failed" // NATS cannot be reached, or refuses
	| "job_cancelled" // a batch across machines was ended by somebody
	| "aborted"
	| "not_paused" // a step asked of an engine that runs by itself
	| "engine_closed";

/** @example throw new NanoVllmError("prompt_too_long", "prompt has 5,000 tokens, maxModelLen is 4,096. Shorten it or raise maxModelLen.") */
export class NanoVllmError extends Error {
	readonly code: ErrorCode;

	constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
		super(message, options);
		this.name = "NanoVllmError";
		this.code = code;
	}
}

/** For our own bugs only: a broken invariant, never bad input. */
export function assert(condition: unknown, law: string): asserts condition {
	if (!condition) throw new Error(`nano-vllm bug: ${law}`);
}

/** The error itself where it is one of ours; else backend_failed, saying what went wrong. */
export function asNanoVllmError(cause: unknown, what: string): NanoVllmError {
	if (cause instanceof NanoVllmError) return cause;
	const message = cause instanceof Error ? cause.message : String(cause);
	return new NanoVllmError("backend_failed", `${what}: ${message}`, { cause });
}
