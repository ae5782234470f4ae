/** What differs between Node and a browser, and nothing else. Knows nothing of models or devices. */
import type { ModelFiles } from "../weights/source.ts";
import type { FileSystem } from "./file-system.ts";

export interface Platform {
	readonly name: "node" | "browser";
	/** CPU threads this process may use, at least 1. */
	readonly hardwareConcurrency: number;
	/** The model folder at a local path. @throws model_not_found */
	localFiles(path: string): Promise<ModelFiles>;
	/** False also for what does not exist. */
	isDirectory(path: string): Promise<boolean>;
	/** Variables of the process; empty where there are none. */
	readonly environment: Readonly<Record<string, string | undefined>>;
	/** null where nothing can be kept. */
	readonly files: FileSystem | null;
	/** The machine's memory, or what of it this process may use; null where nobody can say. */
	memory(): MachineMemory | null;
	/** Lets timers, input and network run before the next line. */
	yieldToEventLoop(): Promise<void>;
	/** Most memory this process has held at once, undefined where nobody can say. */
	peakRssBytes(): number | undefined;
	/** Starts a thread that runs `module`; its first message is `data`. */
	spawnWorker(module: WorkerModule, data: unknown): WorkerHandle;
	/** Asks the engine for a WebAssembly feature that is off by default. @returns whether it took the wish; it may still ignore it */
	enableWasmRevectorize(on: boolean): boolean;
	/** WebGPU's entry point, the same object every time; null where there is none. Does not say whether an adapter exists. */
	gpu(): Promise<GPU | null>;
	/** The exports of the optional package @mlc-ai/web-xgrammar; null where it is not installed, or not served. */
	xgrammar(): Promise<unknown>;
	/** 32 unpredictable bits, as an unsigned integer. */
	randomSeed(): number;
	/** Milliseconds on a clock that never goes back; its zero means nothing. */
	now(): number;
}

export interface MachineMemory {
	readonly totalBytes: number;
	/** What can be had now without swapping. */
	readonly availableBytes: number;
}

/** The module of a worker thread, said twice: Node runs the file as it lies; bundlers find workers by the words of `create` alone. */
export interface WorkerModule {
	readonly url: URL;
	/** Called in browsers: `new Worker(new URL("./name.js", import.meta.url), { type: "module" })`, literally. */
	create(): Worker;
}

/** A worker thread as its owner sees it. */
export interface WorkerHandle {
	postMessage(message: unknown): void;
	/** Called for every message, until the worker ends. */
	onMessage(listener: (message: unknown) => void): void;
	/** Called once if the worker dies of an error, or ends without being asked to. */
	onError(listener: (error: Error) => void): void;
	/** While unreferenced, the worker does not keep the process alive. */
	setReferenced(referenced: boolean): void;
	terminate(): Promise<void>;
}

/** The owner as a worker sees it. */
export interface WorkerPort {
	/** `transfer`: buffers that are moved, not copied. */
	postMessage(message: unknown, transfer?: ArrayBuffer[]): void;
	onMessage(listener: (message: unknown) => void): void;
}
