/**
 * Calls to a worker as promises: each is answered once, may tell news before, and can be aborted. Ends them all when the worker is
 * gone. Knows no method and no model.
 */
import { NanoVllmError } from "../errors.ts";
import type { WorkerHandle } from "../platform/platform.ts";
import { type FromWorker, type ToWorker, unpackError } from "./messages.ts";

export interface CallOptions {
	readonly signal?: AbortSignal;
	readonly onNews?: (value: unknown) => void;
}

export interface Calls {
	/** Rejects with what the method throws, with signal.reason when that is why, or with what ended the calls. */
	call(
		method: string,
		args: readonly unknown[],
		options?: CallOptions,
	): Promise<unknown>;
	/** No call is answered any more. The first reason stays. */
	end(reason: NanoVllmError): void;
}

export interface CallsOptions {
	/** The worker listens, and holds a lock of this name while it lives. */
	readonly onAlive: (lock: string | null) => void;
	/** The worker says that its model is lost. */
	readonly onLost: (error: Error) => void;
}

interface Pending {
	readonly resolve: (value: unknown) => void;
	readonly reject: (error: unknown) => void;
	readonly onNews: ((value: unknown) => void) | undefined;
}

export function openCalls(
	worker: Omit<WorkerHandle, "onError" | "terminate">,
	{ onAlive, onLost }: CallsOptions,
): Calls {
	const pending = new Map<number, Pending>();
	let numCalls = 0;
	let ended: NanoVllmError | null = null;
	const post = (message: ToWorker) => worker.postMessage(message);

	worker.onMessage((data) => {
		const message = data as FromWorker;
		switch (message.kind) {
			case "alive":
				return onAlive(message.lock);
			case "news":
				return pending.get(message.call)?.onNews?.(message.value);
			case "result":
				return pending.get(message.call)?.resolve(message.value);
			case "error":
				return pending.get(message.call)?.reject(unpackError(message.error));
			case "lost":
				return onLost(unpackError(message.error));
			default:
				return message satisfies never;
		}
	});

	return {
		async call(method, args, { signal, onNews } = {}) {
			if (ended !== null) throw ended;
			signal?.throwIfAborted();
			const call = numCalls++;
			const abort = () => post({ kind: "abort", call });
			try {
				const value = await new Promise((resolve, reject) => {
					pending.set(call, { resolve, reject, onNews });
					worker.setReferenced(true);
					post({ kind: "call", call, method, args });
					signal?.addEventListener("abort", abort, { once: true });
				});
				signal?.throwIfAborted();
				return value;
			} catch (error) {
				// The worker's copy of the reason is not the caller's own.
				if (error !== ended) signal?.throwIfAborted();
				throw clonable(error);
			} finally {
				pending.delete(call);
				if (pending.size === 0) worker.setReferenced(false);
				signal?.removeEventListener("abort", abort);
			}
		},
		end(reason) {
			ended ??= reason;
			for (const { reject } of pending.values()) reject(ended);
		},
	};
}

/** What cannot be sent fails in postMessage, with words about its machinery. */
function clonable(error: unknown): unknown {
	if ((error as Error)?.name !== "DataCloneError") return error;
	return new NanoVllmError(
		"invalid_option",
		`an argument cannot be sent to the model's worker: ${(error as Error).message}. Give plain data; a model as a name, a URL, or files from fileMap or droppedFiles.`,
		{ cause: error },
	);
}
