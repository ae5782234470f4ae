/** The thread a model's worker runs in: how it is started, how it is known to live, and what becomes of calls when it does not. Knows no model. */
import { NanoVllmError } from "../errors.ts";
import { loadPlatform } from "../platform/detect.ts";
import type { WorkerHandle, WorkerModule } from "../platform/platform.ts";
import { watchLife } from "../platform/worker-life.ts";
import { type Calls, openCalls } from "./calls.ts";

/** A worker that listens. */
export interface Thread {
	readonly calls: Calls;
	readonly lost: Promise<NanoVllmError>;
	/** Ends the worker, and with this every call that is under way. */
	end(reason: NanoVllmError): Promise<void>;
}

/** As source, as a build, or beside a bundle. */
function workerModule(createWorker: (() => Worker) | undefined): WorkerModule {
	const here = import.meta.url;
	const kind = here.endsWith(".ts") ? "ts" : "js";
	return {
		url: new URL(`./llm-worker.${kind}`, here),
		create:
			createWorker ??
			(() =>
				new Worker(new URL("./llm-worker.js", import.meta.url), {
					type: "module",
				})),
	};
}

/** `signal` ends the thread, before it listens and after. @throws worker_lost where it cannot be started, aborted */
export async function startThread(
	createWorker: (() => Worker) | undefined,
	signal: AbortSignal,
): Promise<Thread> {
	const platform = await loadPlatform();
	const lost = Promise.withResolvers<NanoVllmError>();
	const alive = Promise.withResolvers<void>();
	const watching = new AbortController();
	const worker: WorkerHandle = platform.spawnWorker(
		workerModule(createWorker),
		null,
	);
	const calls = openCalls(worker, {
		onAlive(lock) {
			if (lock !== null)
				watchLife(lock, watching.signal, () => fail("it ended"));
			alive.resolve();
		},
		onLost: (error) => void lose(error as NanoVllmError),
	});
	const end = async (reason: NanoVllmError) => {
		watching.abort();
		calls.end(reason);
		alive.reject(reason);
		await worker.terminate();
	};
	const lose = (error: NanoVllmError) => {
		lost.resolve(error);
		return end(error);
	};
	const fail = (message: string) => {
		const told = `the worker with the model is gone: ${message}. Requests in flight are lost; load the model again, or a smaller one where memory ran out.`;
		void lose(new NanoVllmError("worker_lost", told));
	};
	worker.onError(({ message }) => fail(message));
	// Whatever it does then: nothing of it is wanted any more.
	const stop = () => void end(new NanoVllmError("aborted", "aborted."));
	signal.addEventListener("abort", stop, { once: true });
	await alive.promise;
	return { calls, lost: lost.promise, end };
}
