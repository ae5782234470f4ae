/** What differs between Node and a browser, and nothing else. Knows nothing of models or devices. */
import type { ModelFiles } from "../weights/source.ts";

export interface Platform {
	readonly name: "node" | "browser";
	/** CPU threads this process may use, at least 1. */
	readonly hardwareConcurrency: number;
	/** The model folder at a local path. @throws model_not_found */
	localFiles(path: string): Promise<ModelFiles>;
	/** False also for what does not exist. */
	isDirectory(path: string): Promise<boolean>;
	/** Lets timers, input and network run before the next line. */
	yieldToEventLoop(): Promise<void>;
	/** Most memory this process has held at once, undefined where nobody can say. */
	peakRssBytes(): number | undefined;
	/** 32 unpredictable bits, as an unsigned integer. */
	randomSeed(): number;
	/** Milliseconds on a clock that never goes back; its zero means nothing. */
	now(): number;
}
