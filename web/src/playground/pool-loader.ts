/** Loads the engine with a pool of so many tokens. The engine is told bytes; how many a token takes is seen from a first load. */
import type { EngineInfo } from "../../../src/engine/events.ts";
import type { Engine, EngineSettings } from "../engine.ts";
import { watchOf } from "../inspector/engine-watch.ts";
import type { PoolSettings } from "./scenarios.ts";

export type Reload = (settings: EngineSettings) => Promise<Engine>;

/** Room for some hundred tokens of any model a tab can run, and less than 256 sequences of a small one could use: an engine takes no more than that. */
const FIRST_BYTES = 2 ** 26;
const FIRST_EVENT_MS = 5000;

export interface PoolLoader {
	/** @throws what the load failed with */
	load(settings: PoolSettings): Promise<Engine>;
}

/** Engines loaded here, and how long their model's texts may be with a pool that is large enough. */
const loadedHere = new WeakMap<Engine, number>();

/** Whether an engine runs with settings of the playground. */
export function isLoadedHere(engine: Engine): boolean {
	return loadedHere.has(engine);
}

/** @param first the engine there is now */
export function createPoolLoader(reload: Reload, first: Engine): PoolLoader {
	const maxModelLen = loadedHere.get(first) ?? first.facts.maxModelLen;
	let bytesPerToken: number | null = null;
	return {
		async load(settings) {
			const { poolTokens, ...rest } = settings;
			bytesPerToken ??= await measure(reload);
			const engine = await reload({
				...rest,
				kvCacheMemoryBytes: Math.ceil(poolTokens * bytesPerToken),
				maxModelLen: longestOf(settings, maxModelLen),
			});
			loadedHere.set(engine, maxModelLen);
			return engine;
		},
	};
}

async function measure(reload: Reload): Promise<number> {
	const engine = await reload({ kvCacheMemoryBytes: FIRST_BYTES });
	const { numBlocks, blockSize } = await infoOf(engine);
	return FIRST_BYTES / (numBlocks * blockSize);
}

/** What the pool holds; without chunks, what a step holds too. */
function longestOf(settings: PoolSettings, maxModelLen: number): number {
	const { poolTokens, enableChunkedPrefill, maxNumBatchedTokens } = settings;
	return Math.min(
		maxModelLen,
		poolTokens,
		enableChunkedPrefill ? maxModelLen : maxNumBatchedTokens,
	);
}

/** @throws Error where the engine shows no events */
export async function infoOf(engine: Engine): Promise<EngineInfo> {
	const { promise, resolve, reject } = Promise.withResolvers<EngineInfo>();
	const stop = watchOf(engine).follow(
		(event) => {
			if (event.type === "snapshot") resolve(event.engine);
		},
		(reason) => reject(new Error(reason)),
	);
	const timer = setTimeout(
		() =>
			reject(
				new Error(
					"the engine shows no events, so its pool cannot be measured. Reload the page.",
				),
			),
		FIRST_EVENT_MS,
	);
	try {
		return await promise;
	} finally {
		clearTimeout(timer);
		stop();
	}
}
