/** The platform of a browser's page or worker. The only file that names navigator. */
import {
	canWriteInPlace,
	findFolder,
	KEPT_FOLDER,
	openRoot,
	opfsFiles,
	opfsFolder,
} from "./opfs.ts";
import type { Platform, WorkerHandle, WorkerModule } from "./platform.ts";

/** With the files of this site, where they can be written. */
export async function openBrowser(): Promise<Platform> {
	const root = canWriteInPlace() ? await openRoot() : null;
	return root === null ? platform : { ...platform, files: opfsFiles(root) };
}

/** Keeps nothing. */
export const platform: Platform = {
	name: "browser",
	hardwareConcurrency: globalThis.navigator?.hardwareConcurrency ?? 1,
	localFiles: opfsFolder,
	async isDirectory(path) {
		const root = await openRoot();
		return root !== null && (await findFolder(root, path)) !== null;
	},
	environment: { HF_HUB_CACHE: `${KEPT_FOLDER}/hub` },
	files: null,
	memory: () => null,
	yieldToEventLoop,
	peakRssBytes: () => undefined,
	spawnWorker,
	enableWasmRevectorize: () => false,
	gpu: async () => globalThis.navigator?.gpu ?? null,
	xgrammar,
	randomSeed: () => crypto.getRandomValues(new Uint32Array(1))[0],
	now: () => performance.now(),
};

/**
 * A message takes its turn behind those that wait: what pages send to a busy worker is heard between two steps. Not setTimeout: nested
 * timeouts wait 4 ms each; not scheduler.yield: it goes on before messages that came earlier.
 */
function yieldToEventLoop(): Promise<void> {
	return new Promise((done) => {
		const { port1, port2 } = new MessageChannel();
		port1.onmessage = () => {
			port1.close();
			done();
		};
		port2.postMessage(null);
	});
}

function spawnWorker(module: WorkerModule, data: unknown): WorkerHandle {
	const worker = module.create();
	worker.postMessage(data);
	return {
		postMessage: (message) => worker.postMessage(message),
		onMessage(listener) {
			worker.addEventListener("message", (event) => listener(event.data));
		},
		onError(listener) {
			worker.addEventListener(
				"error",
				(event) => listener(new Error(event.message || "a worker failed")),
				{ once: true },
			);
		},
		setReferenced() {},
		terminate: async () => worker.terminate(),
	};
}

/**
 * Served beside the script that asks, as it is: it names modules of Node that it does not use here, over which bundlers fall. Taken
 * for the ES module it says it is, it leaves its exports on the global object.
 */
async function xgrammar(): Promise<unknown> {
	const url = new URL("web-xgrammar.js", globalThis.location.href).href;
	await import(/* @vite-ignore */ /* webpackIgnore: true */ url).catch(
		() => {},
	);
	return (globalThis as { xgrammar?: unknown }).xgrammar ?? null;
}
