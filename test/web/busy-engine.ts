/** Events of a real engine under load, recorded: its scheduler and blocks are the real ones, only the model computes nothing. */
import { LlmEngine } from "../../src/engine/llm-engine.ts";
import type { EngineEvent } from "../../src/index.ts";
import { randomOf } from "../../web/src/playground/prompt-text.ts";
import {
	countingExecutable,
	engineConfig,
	request,
} from "../support/engine-harness.ts";

export interface Load {
	readonly numSeqs: number;
	readonly numBlocks: number;
	/** Recorded, after a warm-up. */
	readonly numSteps: number;
}

const BLOCK_SIZE = 16;
/** Tokens all prompts begin with. */
const SHARED = 64;
/** Until about as many end as begin. */
const WARM_UP_STEPS = 150;

/** A snapshot, then everything of `numSteps` steps. As one ends the next comes in, most of the pool is held, some prefixes are shared. */
export async function recordLoad(load: Load): Promise<EngineEvent[]> {
	const { numSeqs, numBlocks, numSteps } = load;
	const engine = new LlmEngine(
		countingExecutable(
			numBlocks,
			(input, row) => 1 + ((row + input.positions[0]) % 50),
		),
		engineConfig({
			blockSize: BLOCK_SIZE,
			maxNumSeqs: numSeqs,
			maxNumBatchedTokens: 2048,
		}),
	);
	const random = randomOf(5);
	// A little more than fits, so that there are preemptions and evictions too.
	const most = Math.floor((numBlocks * BLOCK_SIZE) / numSeqs) + 120;
	let numAdded = 0;
	let isOver = false;
	const add = () => {
		if (isOver) return;
		const numOutput = 40 + Math.floor(random() * 160);
		const prompt = Array.from({ length: most - numOutput }, (_, i) =>
			i < SHARED ? (i % 50) + 1 : 1 + Math.floor(random() * 50),
		);
		const one = request(`r${numAdded++}`, prompt);
		// The harness's requests are for a tiny model, which these would be too long for.
		const params = { ...one.params, maxOutputTokens: numOutput };
		engine.add({ ...one, params });
		void one.seen.done.then(add);
	};
	for (let i = 0; i < numSeqs + 8; i++) add();
	const events: EngineEvent[] = [];
	const enough = Promise.withResolvers<void>();
	let stop = () => {};
	let numSeen = 0;
	const settle = engine.observe((event) => {
		if (event.type !== "step" || event.step !== WARM_UP_STEPS) return;
		settle();
		stop = engine.observe((it) => {
			events.push(it);
			if (it.type === "step" && ++numSeen === numSteps) enough.resolve();
		});
	});
	await enough.promise;
	isOver = true;
	stop();
	await engine.close();
	return events;
}
