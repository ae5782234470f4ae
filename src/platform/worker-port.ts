/**
 * How a worker thread hears from its owner, in Node and in browsers. Nothing is awaited and nothing imported: a browser drops
 * messages that come before a listener is there.
 */
import type { WorkerPort } from "./platform.ts";

export function workerPort(): WorkerPort {
	if (typeof process !== "undefined" && process.versions?.node) {
		const { parentPort } = process.getBuiltinModule("node:worker_threads");
		return {
			postMessage: (message, transfer = []) =>
				parentPort?.postMessage(message, { transfer }),
			onMessage: (listener) => parentPort?.on("message", listener),
		};
	}
	return {
		postMessage: (message, transfer = []) =>
			globalThis.postMessage(message, { transfer }),
		onMessage(listener) {
			globalThis.addEventListener("message", (event) =>
				listener((event as MessageEvent).data),
			);
		},
	};
}
