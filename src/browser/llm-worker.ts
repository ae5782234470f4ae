/** The worker a model runs in: answers a page's calls with one LLM. Started by WorkerLLM; see messages.ts for what is said. */
import { NanoVllmError } from "../errors.ts";
import { holdLife } from "../platform/worker-life.ts";
import { workerPort } from "../platform/worker-port.ts";
import { type FromWorker, packError, type ToWorker } from "./messages.ts";
import { type CallContext, type Host, METHODS } from "./worker-methods.ts";

const port = workerPort();
const host: Host = { llm: null };
/** Calls under way. */
const calls = new Map<number, AbortController>();
const post = (message: FromWorker) => port.postMessage(message);

type AnyMethod = (
	host: Host,
	context: CallContext,
	...args: unknown[]
) => unknown;

port.onMessage((data) => {
	// The first message wakes the platform's port; it says nothing.
	const message = data as ToWorker | null;
	if (message === null) return;
	switch (message.kind) {
		case "call":
			void answer(message.call, message.method, message.args);
			return;
		case "abort":
			calls.get(message.call)?.abort();
			return;
		default:
			message satisfies never;
	}
});

async function answer(
	call: number,
	name: string,
	args: readonly unknown[],
): Promise<void> {
	const controller = new AbortController();
	calls.set(call, controller);
	const { signal } = controller;
	const tell = (value: unknown) => post({ kind: "news", call, value });
	try {
		const method = METHODS[name as keyof typeof METHODS] as AnyMethod;
		const value = await method(host, { signal, tell }, ...args);
		if (name === "load") watchModel();
		post({ kind: "result", call, value });
	} catch (error) {
		post({ kind: "error", call, error: packError(error) });
		tellIfLost();
	} finally {
		calls.delete(call);
	}
}

/** The device may be lost while nothing runs; a step that failed is heard of where it is awaited. */
function watchModel(): void {
	void host.llm?.lost.then((error) =>
		post({ kind: "lost", error: packError(error) }),
	);
}

function tellIfLost(): void {
	const failure = host.llm?.failure ?? null;
	if (failure !== null && failure.code !== "engine_closed")
		post({ kind: "lost", error: packError(failure) });
}

// An error nobody caught is told by the browser itself; a promise nobody awaited is not.
globalThis.addEventListener?.("unhandledrejection", ({ reason }) => {
	const told = `the worker with the model failed: ${reason}. Requests in flight are lost; load the model again.`;
	const error = new NanoVllmError("worker_lost", told, { cause: reason });
	post({ kind: "lost", error: packError(error) });
});

void holdLife().then((lock) => post({ kind: "alive", lock }));
