/**
 * Drives scheduler and packer step by step over a model that is one integer per token: the state of token p is a hash of the
 * state at p - 1, read through the block table, and of token p; the token sampled is a function of the state. A wrong slot,
 * block, position, carried token or adapter changes every token after it, and what a request must give is a loop of three lines.
 */
import assert from "node:assert/strict";
import type { StepInput } from "../../src/backends/backend.ts";
import { type Adapter, AdapterSlots } from "../../src/engine/adapters.ts";
import { createPacker } from "../../src/engine/batch.ts";
import { BlockManager } from "../../src/engine/block-manager.ts";
import {
	type Batch,
	Scheduler,
	type SchedulerConfig,
} from "../../src/engine/scheduler.ts";
import type { Sequence, StepRow } from "../../src/engine/sequence.ts";

export const VOCAB_SIZE = 16;

export interface LockStepOptions extends SchedulerConfig {
	readonly numBlocks: number;
	readonly blockSize: number;
	readonly enablePrefixCaching: boolean;
	/** Read the tokens of a step after the next one is submitted. */
	readonly overlap: boolean;
	/** Adapters at once; absent: none. */
	readonly maxLoras?: number;
}

interface Flight {
	readonly rows: readonly StepRow[];
	readonly tokenIds: readonly number[];
}

const mix = (state: number, token: number) => {
	let h = Math.imul(state ^ (token + 0x9e3779b9), 0x85ebca6b);
	h ^= h >>> 15;
	h = Math.imul(h, 0xc2b2ae35);
	return (h ^ (h >>> 13)) >>> 0;
};
const EMPTY = 1;
/** What an adapter makes of a token. */
const keyOf = (adapter: Adapter | null) =>
	adapter === null ? 0 : 256 * adapter.id;

/** Tokens the integer model gives, greedily, until `stops` says so. */
export function expectedOutput(
	promptTokenIds: readonly number[],
	maxTokens: number,
	eos: readonly number[] = [],
	adapter: Adapter | null = null,
): number[] {
	const output: number[] = [];
	const key = keyOf(adapter);
	let state = promptTokenIds.reduce((s, id) => mix(s, id ^ key), EMPTY);
	while (output.length < maxTokens) {
		const token = state % VOCAB_SIZE;
		output.push(token);
		if (eos.includes(token)) break;
		state = mix(state, token ^ key);
	}
	return output;
}

export class LockStep {
	readonly scheduler: Scheduler;
	readonly blocks: BlockManager;
	readonly adapters: AdapterSlots;
	/** What the device holds. */
	readonly #slots: (Adapter | null)[];
	readonly #options: LockStepOptions;
	readonly #pack: ReturnType<typeof createPacker>;
	/** Per slot; NaN: never written. */
	readonly #memory: Float64Array;
	#flight: Flight | null = null;
	#previousRows: readonly StepRow[] = [];
	#previousIds: readonly number[] = [];
	/** Prompt positions whose logprob was asked for. */
	readonly scored = new Map<Sequence, number[]>();
	numSteps = 0;

	constructor(options: LockStepOptions) {
		this.#options = options;
		this.blocks = new BlockManager(
			options.numBlocks,
			options.blockSize,
			options,
		);
		const { maxLoras = 0 } = options;
		this.adapters = new AdapterSlots(maxLoras);
		this.#slots = new Array(maxLoras).fill(null);
		this.scheduler = new Scheduler(options, this.blocks, this.adapters);
		this.#pack = createPacker({ ...options, vocabSize: VOCAB_SIZE }, (it) =>
			this.adapters.slotOf(it),
		);
		this.#memory = new Float64Array(options.numBlocks * options.blockSize).fill(
			NaN,
		);
	}

	/** One turn of the engine's loop. `between`: what happens while the step runs. @returns the batch, null where nothing ran */
	step(between: () => void = () => {}): Batch | null {
		const batch = this.scheduler.schedule();
		this.scheduler.checkIntegrity();
		let next: Flight | null = null;
		if (batch !== null) {
			this.numSteps++;
			const { input, rows } = this.#pack(batch);
			checkBatch(batch, this.#options);
			for (const { slot, adapter } of this.adapters.takeWrites())
				this.#slots[slot] = adapter;
			this.#checkInput(input, batch, rows);
			const tokenIds = this.#execute(input);
			this.#previousRows = rows;
			this.#previousIds = tokenIds;
			next = { rows, tokenIds };
		}
		between();
		this.scheduler.checkIntegrity();
		const due = this.#options.overlap ? this.#flight : next;
		this.#flight = this.#options.overlap ? next : null;
		if (due !== null) this.#accept(due);
		this.scheduler.checkIntegrity();
		return batch;
	}

	/** Steps until nothing runs or waits. */
	finishAll(mostSteps: number): void {
		for (let i = 0; i < mostSteps; i++) {
			const inFlight = this.#flight !== null;
			if (this.step() !== null || inFlight) continue;
			const left = this.scheduler.numRunning + this.scheduler.numWaiting;
			assert.equal(left, 0, "an idle engine left nobody");
			return;
		}
		assert.fail(`not finished after ${mostSteps} steps`);
	}

	#execute(input: StepInput): number[] {
		const { blockSize } = this.#options;
		const tokenIds = Array.from(input.tokenIds.subarray(0, input.numTokens));
		for (let i = 0; i < input.numCarried; i++)
			tokenIds[input.carryTo[i]] = this.#previousIds[input.carryFrom[i]];
		const keys = new Int32Array(input.numTokens);
		for (const [slot, adapter] of this.#slots.entries())
			for (const t of input.adapterTokens.subarray(
				input.adapterStart[slot],
				input.adapterStart[slot + 1],
			)) {
				assert.equal(keys[t], 0, "a token goes through one adapter");
				keys[t] = keyOf(adapter);
			}
		const states: number[] = [];
		for (let s = 0; s < input.numSeqs; s++) {
			const table = input.blockTables.subarray(
				input.blockTableStart[s],
				input.blockTableStart[s + 1],
			);
			for (let t = input.queryStart[s]; t < input.queryStart[s + 1]; t++) {
				const before = input.positions[t] - 1;
				const slot =
					table[Math.floor(before / blockSize)] * blockSize +
					(before % blockSize);
				const state = before < 0 ? EMPTY : this.#memory[slot];
				assert.ok(!Number.isNaN(state), "what is read was written");
				states[t] = mix(state, tokenIds[t] ^ keys[t]);
				this.#memory[input.slotMapping[t]] = states[t];
			}
		}
		return Array.from(
			input.logitRows.subarray(0, input.numSampleRows),
			(t) => states[t] % VOCAB_SIZE,
		);
	}

	/** As the engine reads a step. */
	#accept({ rows, tokenIds }: Flight): void {
		tokenIds.forEach((tokenId, r) => {
			const { seq } = rows[r];
			if (seq.pendingRow === rows[r]) seq.pendingRow = null;
			if (seq.isFinished) return;
			assert.equal(rows[r].position, seq.numTokens, "rows know their place");
			seq.appendToken(tokenId);
			const numOutput = seq.numTokens - seq.numPromptTokens;
			if (seq.params.eosTokenIds.includes(tokenId))
				this.scheduler.finish(seq, "stop");
			else if (numOutput >= seq.params.maxOutputTokens)
				this.scheduler.finish(seq, "length");
		});
	}

	#checkInput(input: StepInput, batch: Batch, rows: readonly StepRow[]): void {
		const { blockSize, numBlocks } = this.#options;
		const { scheduled } = batch;
		assert.equal(input.numTokens, batch.numTokens);
		assert.equal(input.numSeqs, scheduled.length);
		assert.equal(input.numDecodes, batch.numDecodes);
		assert.equal(input.queryStart[0], 0);
		assert.equal(input.queryStart[input.numSeqs], input.numTokens);
		assert.equal(input.blockTableStart[0], 0);
		const owners = new Map<number, Set<number>>();
		const written = new Set<number>();
		const carried = new Map<number, number>();
		for (let i = 0; i < input.numCarried; i++)
			carried.set(input.carryTo[i], input.carryFrom[i]);
		assert.equal(carried.size, input.numCarried, "a token is carried once");

		scheduled.forEach(({ seq, start, numTokens }, s) => {
			const from = input.queryStart[s];
			assert.equal(input.queryStart[s + 1] - from, numTokens);
			assert.equal(input.contextLens[s], start + numTokens);
			const table = input.blockTables.subarray(
				input.blockTableStart[s],
				input.blockTableStart[s + 1],
			);
			assert.equal(table.length, Math.ceil((start + numTokens) / blockSize));
			for (const block of table) {
				assert.ok(block >= 0 && block < numBlocks);
				if (!owners.has(block)) owners.set(block, new Set());
				owners.get(block)?.add(s);
			}
			for (let i = 0; i < numTokens; i++) {
				const t = from + i;
				const p = start + i;
				assert.equal(input.positions[t], p);
				const slot = table[Math.floor(p / blockSize)] * blockSize;
				assert.equal(input.slotMapping[t], slot + (p % blockSize));
				assert.ok(!written.has(input.slotMapping[t]), "a slot is written once");
				written.add(input.slotMapping[t]);
				const row = carried.get(t);
				if (row === undefined) assert.equal(input.tokenIds[t], seq.tokenIds[p]);
				else {
					assert.equal(
						this.#previousRows[row]?.seq,
						seq,
						"carried from itself",
					);
					assert.ok(row < this.#previousIds.length, "from a sampling row");
					assert.equal(p, seq.numTokens, "only the unknown token is carried");
				}
			}
		});
		for (const slot of written)
			assert.equal(
				owners.get(Math.floor(slot / blockSize))?.size,
				1,
				"nobody else reads a block that is written",
			);
		const sampling = scheduled.filter(({ samples }) => samples);
		assert.equal(input.numSampleRows, sampling.length);
		assert.equal(input.numRows, rows.length);
		rows.forEach(({ seq, row, position }, r) => {
			assert.equal(row, r);
			const s = scheduled.findIndex((each) => each.seq === seq);
			const { start, numTokens } = scheduled[s];
			assert.equal(
				input.logitRows[r],
				input.queryStart[s] + position - 1 - start,
				"a row's logits are those of the token before",
			);
			if (r >= input.numSampleRows) {
				this.scored.set(seq, [...(this.scored.get(seq) ?? []), position]);
				assert.equal(
					input.sampling.scoredTokens[r - input.numSampleRows],
					seq.tokenIds[position],
				);
				return;
			}
			assert.equal(position, start + numTokens);
			assert.equal(seq.pendingRow, rows[r]);
			assert.equal(
				input.sampling.outputPosition[r],
				position - seq.numPromptTokens,
			);
		});
	}
}

/** What every batch must be. */
function checkBatch(batch: Batch, config: LockStepOptions): void {
	const { scheduled, numDecodes, numTokens } = batch;
	const sum = scheduled.reduce((n, each) => n + each.numTokens, 0);
	assert.equal(sum, numTokens);
	assert.ok(numTokens <= config.maxNumBatchedTokens, "the budget holds");
	assert.ok(scheduled.length > 0 && scheduled.length <= config.maxNumSeqs);
	assert.equal(new Set(scheduled.map((s) => s.seq)).size, scheduled.length);
	scheduled.forEach(({ seq, start, numTokens, samples }, s) => {
		assert.equal(seq.status.kind, "running");
		assert.ok(numTokens > 0);
		if (s < numDecodes)
			assert.ok(numTokens === 1 && start >= seq.numPromptTokens);
		const end = start + numTokens;
		assert.ok(
			seq.numOutputTokens <= seq.params.maxOutputTokens,
			"nothing is computed behind the last token",
		);
		if (!config.enableChunkedPrefill) assert.ok(samples, "whole prompts only");
		if (!samples) assert.ok(end < seq.numTotalTokens);
	});
}
