/** Runs the prompts of one HTTP request on the engine, side by side, and ends all of them when one fails or the client leaves. Knows no bodies. */

import { NanoVllmError } from "../errors.ts";
import type {
	CompletionDelta,
	LoraRequest,
	RequestOutput,
	SamplingParamsInput,
	Thought,
} from "../index.ts";
import { badRequest } from "./api-error.ts";
import type { ServedEngine } from "./engine.ts";
import type { RequestRecorder, ServerMetrics } from "./metrics.ts";

export interface Task {
	readonly promptTokenIds: readonly number[];
	readonly params: SamplingParamsInput;
	readonly priority: number | undefined;
	readonly cacheSalt: string | null;
	/** A thought that what the output looks like does not bind; null: there will be none. */
	readonly thought: Thought | null;
	/** null: the model as it is. */
	readonly loraRequest: LoraRequest | null;
	/** Where the body says what the output looks like. */
	readonly formField: string;
}

export interface RunContext {
	readonly engine: ServedEngine;
	readonly metrics: ServerMetrics;
	readonly signal: AbortSignal;
}

export type OnDelta = (delta: CompletionDelta, promptIndex: number) => void;

/** @returns the outputs in the order of the tasks. @throws the first error, once nothing runs any more */
export async function runTasks(
	tasks: readonly Task[],
	{ engine, metrics, signal }: RunContext,
	onDelta?: OnDelta,
): Promise<RequestOutput[]> {
	signal.throwIfAborted();
	const controller = new AbortController();
	const stop = () => controller.abort(signal.reason);
	signal.addEventListener("abort", stop, { once: true });
	const runs = tasks.map(async (task, promptIndex) => {
		const { n = 1, maxTokens = null } = task.params;
		const recorder = metrics.recorder(n, maxTokens);
		try {
			return await runOne(task, engine, controller.signal, recorder, (delta) =>
				onDelta?.(delta, promptIndex),
			);
		} catch (cause) {
			recorder.onCut(controller.signal.aborted ? "abort" : "error", n);
			const error = aboutForm(cause, task.formField);
			controller.abort(error);
			throw error;
		}
	});
	try {
		await Promise.allSettled(runs);
		if (controller.signal.aborted) throw controller.signal.reason;
		return await Promise.all(runs);
	} finally {
		signal.removeEventListener("abort", stop);
	}
}

const JSON_FORM = "structuredOutputs.json";

/** What the library refuses of a schema, said of the field it stood in. */
function aboutForm(cause: unknown, field: string): unknown {
	if (!(cause instanceof NanoVllmError)) return cause;
	const { code, message } = cause;
	if (field === "structured_outputs" || !message.startsWith(JSON_FORM))
		return cause;
	return badRequest(field + message.slice(JSON_FORM.length), field, code);
}

async function runOne(
	{ promptTokenIds, params, formField: _, ...rest }: Task,
	engine: ServedEngine,
	signal: AbortSignal,
	recorder: RequestRecorder,
	onDelta: (delta: CompletionDelta) => void,
): Promise<RequestOutput> {
	const options = { signal, ...rest };
	const stream = engine.stream({ promptTokenIds }, params, options);
	for (;;) {
		const { value, done } = await stream.next();
		if (done) {
			recorder.onOutput(value);
			return value;
		}
		if (value.tokenIds.length > 0)
			recorder.onTokens(value.index, performance.now());
		onDelta(value);
	}
}
