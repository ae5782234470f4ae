/** Rows of logits with what is asked of them, made a step and run through the sampler alone; and what the reference makes of them. */
import assert from "node:assert/strict";
import type {
	LogprobTable,
	SamplingInput,
	StepInput,
	StepOutput,
} from "../../../src/backends/backend.ts";
import { rowLogprobs } from "../../../src/backends/reference/logprobs.ts";
import {
	logSumExp,
	sampleRow,
} from "../../../src/backends/reference/sample.ts";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import type { KernelCompiler } from "../../../src/backends/webgpu/kernel.ts";
import type { SampleTuning } from "../../../src/backends/webgpu/kernels/sample-row.ts";
import { stride } from "../../../src/backends/webgpu/layout.ts";
import {
	createSampler,
	type Sampler,
} from "../../../src/backends/webgpu/sampler.ts";
import type { RandomSource } from "../../support/random.ts";
import { bufferOf } from "../../support/webgpu.ts";

export interface Row {
	readonly logits: Float32Array;
	readonly temperature: number;
	readonly topK: number;
	readonly topP: number;
	readonly minP: number;
	readonly presence: number;
	readonly frequency: number;
	readonly repetition: number;
	readonly seed: readonly [high: number, low: number];
	readonly position: number;
	readonly history: readonly number[];
	readonly promptLen: number;
	/** Row of the step before. */
	readonly carriedFrom: number | null;
	readonly bias: readonly (readonly [number, number])[];
	/** null: all */
	readonly allowed: readonly number[] | null;
	readonly entries: number;
	/** The token to score instead of sampling one. */
	readonly scored: number | null;
}

export const plainRow: Omit<Row, "logits"> = {
	temperature: 0,
	topK: 0,
	topP: 1,
	minP: 0,
	presence: 0,
	frequency: 0,
	repetition: 1,
	seed: [0, 0],
	position: 0,
	history: [],
	promptLen: 0,
	carriedFrom: null,
	bias: [],
	allowed: null,
	entries: 0,
	scored: null,
};

export interface SamplerRoom {
	readonly vocab: number;
	readonly sampler: Sampler;
	/** Submits a step; rows that score come last. */
	submit(rows: readonly Row[]): Promise<StepOutput>;
	/** Logits as the last step left them, of its last slice. */
	readonly logits: GPUBuffer;
}

const MAX_ROWS = 512;

export async function openSampler(
	gpu: Gpu,
	compile: KernelCompiler,
	vocab: number,
	sliceRows: number,
	tuning: SampleTuning = {},
): Promise<SamplerRoom> {
	const { device } = gpu;
	const width = stride(vocab);
	const logits = bufferOf(gpu, 4 * width * sliceRows);
	const sampler = await createSampler(gpu, compile, {
		vocabSize: vocab,
		logits,
		sliceRows,
		limits: { maxNumSeqs: MAX_ROWS, maxNumBatchedTokens: MAX_ROWS },
		tuning,
	});
	return {
		vocab,
		sampler,
		logits,
		submit(rows) {
			const input = stepInput(rows, vocab);
			const raw = new Float32Array(width * rows.length);
			for (const [r, { logits: row }] of rows.entries())
				raw.set(row, r * width);
			const source = bufferOf(gpu, raw);
			sampler.write(input);
			scramble(input);
			const encoder = device.createCommandEncoder();
			for (let first = 0; first < rows.length; first += sliceRows) {
				const count = Math.min(sliceRows, rows.length - first);
				const bytes = 4 * width * count;
				encoder.copyBufferToBuffer(source, 4 * width * first, logits, 0, bytes);
				const pass = encoder.beginComputePass();
				sampler.encode(pass, first, count);
				pass.end();
			}
			const read = sampler.finish(encoder);
			device.queue.submit([encoder.finish()]);
			source.destroy();
			return read().finally(() => gpu.check());
		},
	};
}

/** The arrays are the caller's again once they are written. */
function scramble(input: StepInput): void {
	for (const array of [
		...Object.values(input),
		...Object.values(input.sampling),
	])
		if (ArrayBuffer.isView(array))
			new Uint8Array(array.buffer, array.byteOffset, array.byteLength).fill(
				0x55,
			);
	Object.assign(input, { numRows: 0, numSampleRows: 0, numCarried: 0 });
}

export function stepInput(rows: readonly Row[], vocab: number): StepInput {
	const sampled = rows.filter(({ scored }) => scored === null);
	const scored = rows.filter((row) => row.scored !== null);
	assert.deepEqual(rows, [...sampled, ...scored], "scoring rows come last");
	const numbers = (of: (row: Row) => number) => sampled.map(of);
	const starts = (of: (row: Row) => readonly unknown[]) => {
		const result = [0];
		for (const row of sampled)
			result.push(result[result.length - 1] + of(row).length);
		return Int32Array.from(result);
	};
	const words = Math.ceil(vocab / 32);
	const masked = [...sampled.keys()].filter((r) => sampled[r].allowed !== null);
	const masks = new Uint32Array(masked.length * words);
	for (const [m, r] of masked.entries())
		for (const id of sampled[r].allowed ?? [])
			masks[m * words + (id >>> 5)] |= 1 << (id & 31);
	const sampling: SamplingInput = {
		temperature: Float32Array.from(numbers((row) => row.temperature)),
		topK: Int32Array.from(numbers((row) => row.topK)),
		topP: Float32Array.from(numbers((row) => row.topP)),
		minP: Float32Array.from(numbers((row) => row.minP)),
		presencePenalty: Float32Array.from(numbers((row) => row.presence)),
		frequencyPenalty: Float32Array.from(numbers((row) => row.frequency)),
		repetitionPenalty: Float32Array.from(numbers((row) => row.repetition)),
		seeds: Uint32Array.from(sampled.flatMap((row) => row.seed)),
		outputPosition: Int32Array.from(numbers((row) => row.position)),
		historyStart: starts((row) => row.history),
		historyTokens: Int32Array.from(sampled.flatMap((row) => row.history)),
		historyPromptLen: Int32Array.from(numbers((row) => row.promptLen)),
		biasStart: starts((row) => row.bias),
		biasTokens: Int32Array.from(
			sampled.flatMap((row) => row.bias.map(([id]) => id)),
		),
		biasValues: Float32Array.from(
			sampled.flatMap((row) => row.bias.map(([, value]) => value)),
		),
		numMasks: masked.length,
		maskRows: Int32Array.from(masked),
		masks,
		logprobEntries: Int32Array.from(rows, (row) => row.entries),
		scoredTokens: Int32Array.from(scored, (row) => row.scored ?? 0),
	};
	const carried = [...rows.keys()].filter((r) => rows[r].carriedFrom !== null);
	// Row r's own token is the one at place 3r + 1.
	const place = (r: number) => 3 * r + 1;
	const none = new Int32Array(1);
	return {
		numTokens: 0,
		numSeqs: 0,
		numDecodes: 0,
		numRows: rows.length,
		numSampleRows: sampled.length,
		tokenIds: none,
		positions: none,
		slotMapping: none,
		queryStart: none,
		contextLens: none,
		blockTableStart: none,
		blockTables: none,
		logitRows: Int32Array.from(rows, (_, r) => place(r)),
		numCarried: carried.length,
		carryTo: Int32Array.from(carried, place),
		carryFrom: Int32Array.from(carried, (r) => rows[r].carriedFrom ?? 0),
		adapterTokens: none,
		adapterStart: none,
		sampling,
	};
}

export interface CheckOptions {
	/** What the step before sampled. */
	readonly before?: Int32Array;
}

/**
 * Holds a step's output to the reference's.
 * @returns rows excused: a token more or less where a cumulative probability is topP within what f32 sums can tell
 */
export function check(
	rows: readonly Row[],
	got: StepOutput,
	{ before }: CheckOptions = {},
): number {
	const input = stepInput(rows, rows[0].logits.length);
	let numExcused = 0;
	let rowsWithEntries = 0;
	for (const [r, row] of rows.entries()) {
		const label = `row ${r}: ${describe(row)}`;
		const carried =
			row.carriedFrom === null ? null : (before?.[row.carriedFrom] ?? null);
		const failed = got.failedRows.get(r) ?? null;
		if (row.logits.some(Number.isNaN)) {
			assert.equal(failed, "nan", label);
			assert.equal(entriesOf(got.logprobs, r).length, 0, label);
			continue;
		}
		const logits = row.logits.slice();
		const want = row.scored ?? sampleRow(logits, input.sampling, r, carried);
		if (want === null) {
			assert.equal(failed, "forbidden", label);
			continue;
		}
		assert.equal(failed, null, label);
		if (row.scored === null && got.tokenIds[r] !== want) {
			const excused = nearTopP(row, input.sampling, r, carried);
			assert.ok(excused, `token ${got.tokenIds[r]}, not ${want}. ${label}`);
			numExcused++;
		}
		if (row.entries > 0) rowsWithEntries++;
		checkEntries(row, row.scored ?? got.tokenIds[r], got.logprobs, r, label);
	}
	if (rowsWithEntries === 0) assert.equal(got.logprobs, null);
	return numExcused;
}

interface Entry {
	readonly tokenId: number;
	readonly logprob: number;
	readonly rank: number;
}

export function entriesOf(table: LogprobTable | null, r: number): Entry[] {
	if (table === null) return [];
	const { start, tokenIds, logprobs, ranks } = table;
	return Array.from({ length: start[r + 1] - start[r] }, (_, i) => ({
		tokenId: tokenIds[start[r] + i],
		logprob: logprobs[start[r] + i],
		rank: ranks[start[r] + i],
	}));
}

function checkEntries(
	row: Row,
	token: number,
	table: LogprobTable | null,
	r: number,
	label: string,
): void {
	const got = entriesOf(table, r);
	const want =
		row.entries === 0 ? [] : rowLogprobs(row.logits, token, row.entries);
	assert.equal(got.length, want.length, `number of entries, ${label}`);
	for (const [i, { tokenId, rank, logprob }] of want.entries()) {
		const ours = got[i];
		if (ours.tokenId !== tokenId || ours.rank !== rank)
			assert.fail(
				`entry ${i}: ${ours.tokenId} of rank ${ours.rank}, not ${tokenId} of rank ${rank}. ${label}`,
			);
		if (Object.is(ours.logprob, logprob)) continue;
		const bound = 2e-6 + 1.2e-7 * Math.abs(logprob);
		if (!(Math.abs(ours.logprob - logprob) <= bound))
			assert.fail(
				`entry ${i}: logprob ${ours.logprob}, not ${logprob}. ${label}`,
			);
	}
}

function nearTopP(
	row: Row,
	sampling: SamplingInput,
	r: number,
	carried: number | null,
): boolean {
	if (row.topP >= 1 || row.temperature === 0) return false;
	const logits = row.logits.slice();
	const topP = sampling.topP.slice();
	topP[r] = 1;
	sampleRow(logits, { ...sampling, topP }, r, carried);
	const total = logSumExp(logits);
	let mass = 0;
	for (const logit of logits.slice().sort().reverse()) {
		mass += Math.exp(logit - total);
		if (Math.abs(mass - sampling.topP[r]) < 2e-6) return true;
	}
	return false;
}

function describe({ logits, ...rest }: Row): string {
	const shown =
		logits.length <= 33 ? `, logits ${Array.from(logits).join(" ")}` : "";
	return JSON.stringify(rest).slice(0, 2000) + shown;
}

const pick = <T>(random: RandomSource, ...choices: T[]): T =>
	choices[random.below(choices.length)];

/** Every parameter is off in about half of the rows. numBefore: rows of the step before */
export function randomRow(
	vocab: number,
	random: RandomSource,
	numBefore = 0,
): Row {
	const ids = (n: number) =>
		Array.from({ length: n }, () => random.below(vocab));
	const maybe = <T>(off: T, on: () => T) =>
		random.uniform() < 0.5 ? off : on();
	const history = maybe<number[]>([], () => ids(1 + random.below(30)));
	return {
		logits: randomLogits(vocab, random),
		temperature: maybe(0, () => pick(random, 0.01, 0.3, 1, 1, 2.5, 50)),
		topK: maybe(0, () =>
			pick(random, 1, 2, 3, 20, vocab - 1, vocab, vocab + 5, 2 ** 31 - 1),
		),
		topP: maybe(1, () =>
			pick(random, 1e-6, 0.1, 0.5, 0.9, 0.999, random.uniform() || 0.5),
		),
		minP: maybe(0, () => pick(random, 1e-5, 0.05, 0.5, 1, random.uniform())),
		presence: maybe(0, () => pick(random, -2, 0.3, 1.7, 2)),
		frequency: maybe(0, () => pick(random, -1.3, 0.1, 2)),
		repetition: maybe(1, () => pick(random, 0.7, 1.1, 1.3, 10)),
		seed: [random.below(2 ** 32), random.below(2 ** 32)],
		position: random.below(3000),
		history,
		promptLen: random.below(history.length + 1),
		carriedFrom:
			numBefore === 0
				? null
				: maybe<number | null>(null, () => random.below(numBefore)),
		bias: maybe<[number, number][]>([], () =>
			ids(1 + random.below(6)).map((id) => [
				id,
				pick(random, -100, -1, 0.5, 100, -Infinity),
			]),
		),
		allowed: maybe<number[] | null>(null, () =>
			ids(1 + random.below(1 + vocab / 2)),
		),
		entries: maybe(0, () =>
			pick(random, 1, 2, 6, 21, vocab, vocab + 1, 2 ** 31 - 1),
		),
		scored: null,
	};
}

export function randomLogits(
	vocab: number,
	random: RandomSource,
): Float32Array {
	const scale = pick(random, 0.01, 1, 5, 30);
	const logits = random.vector(vocab, 4).map((x) => x * scale);
	switch (random.below(5)) {
		case 0: // many ties
			return logits.map((x) => Math.round(x / 2) * 2);
		case 1: // much is forbidden by the model itself
			return logits.map((x) => (random.uniform() < 0.7 ? x : -Infinity));
		case 2: // two magnitudes
			return logits.map((x, i) => (i % 3 === 0 ? x * 1e-6 : x));
		default:
			return logits;
	}
}
