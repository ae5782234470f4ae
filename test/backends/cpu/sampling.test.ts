/** The sampling kernel against the reference's sampleRow and rowLogprobs, row by row: the same tokens, the same entries. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type {
	SamplingInput,
	StepInput,
} from "../../../src/backends/backend.ts";
import { samplerScratchOf } from "../../../src/backends/cpu/scratch.ts";
import {
	ROW,
	ROW_WORDS,
	stepBytesOf,
	writeStep,
} from "../../../src/backends/cpu/step.ts";
import { rowLogprobs } from "../../../src/backends/reference/logprobs.ts";
import {
	logSumExp,
	sampleRow,
} from "../../../src/backends/reference/sample.ts";
import { type RandomSource, randomSource } from "../../support/random.ts";
import { assertClose, eachBuild, type Room } from "./kernel-room.ts";
import { LIMITS } from "./tiny-model.ts";

interface Row {
	readonly logits: Float32Array;
	readonly temperature: number;
	readonly topK: number;
	readonly topP: number;
	readonly minP: number;
	readonly presence: number;
	readonly frequency: number;
	readonly repetition: number;
	readonly seed: readonly [number, number];
	readonly position: number;
	readonly history: readonly number[];
	readonly promptLen: number;
	readonly carried: number | null;
	readonly bias: readonly (readonly [number, number])[];
	/** null: all */
	readonly allowed: readonly number[] | null;
	readonly entries: number;
	/** The token to score instead of sampling one. */
	readonly scored: number | null;
}

const plainRow: Omit<Row, "logits"> = {
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
	carried: null,
	bias: [],
	allowed: null,
	entries: 0,
	scored: null,
};

eachBuild((room) => {
	for (const [vocab, numRows] of [
		[1, 60],
		[2, 300],
		[3, 400],
		[5, 600],
		[31, 1200],
		[33, 1200],
		[64, 400],
		[65, 400],
		[1000, 500],
		[4099, 100],
	])
		test(`${numRows} random rows of ${vocab} tokens`, () => {
			const random = randomSource(20 + vocab);
			const rows = Array.from({ length: numRows }, () =>
				randomRow(vocab, random),
			);
			const { numExcused, numTokens } = check(room, rows);
			assert.ok(
				numExcused <= numRows / 100,
				`${numExcused} boundaries of top-p`,
			);
			if (vocab > 5) assert.ok(numTokens > 10, "rows give different tokens");
		});

	test("rows of 151,936 tokens, one with entries for all of them", () => {
		const random = randomSource(21);
		const vocab = 151_936;
		const rows = [
			{},
			{ temperature: 1 },
			{ temperature: 0.7, topK: 50 },
			{ temperature: 1.3, topP: 0.95 },
			{ temperature: 1, minP: 0.02, topP: 0.5, topK: 1000 },
			{
				temperature: 1,
				history: [5, 6, 7, 5],
				promptLen: 2,
				repetition: 1.2,
				frequency: 1,
			},
			{ entries: 21 },
			{ entries: vocab + 1 },
			{ scored: 151_935, entries: 6 },
		].map((row) => ({
			...plainRow,
			seed: [random.below(2 ** 32), 1] as const,
			logits: random.vector(vocab).map((x) => 3 * x),
			...row,
		}));
		check(room, rows);
	});

	test("large logits and cold temperatures: the draw skips no token that could win", () => {
		const random = randomSource(22);
		const rows: Row[] = [];
		for (const offset of [0, 3000, -3000, 1e6, -1e6, 3e7])
			for (let i = 0; i < 150; i++) {
				// Equal logits: every token wins as often, and two scores may differ by little.
				const logits = new Float32Array(333).fill(offset);
				const seed = [random.below(2 ** 32), random.below(2 ** 32)] as const;
				rows.push({
					...plainRow,
					logits,
					seed,
					temperature: i % 2 ? 1 : 0.01,
				});
			}
		check(room, rows);
	});

	test("ties: greedy and best entries take lower ids, top-k keeps all equals", () => {
		const logits = Float32Array.from([1, 3, 3, -1, 3, 0, 1, 3, -0, 1]);
		const rows: Row[] = [{ ...plainRow, logits, entries: 5 }];
		for (let k = 1; k <= 11; k++)
			for (let i = 0; i < 40; i++)
				rows.push({
					...plainRow,
					logits,
					topK: k,
					temperature: 50,
					seed: [i, k],
					entries: k,
				});
		check(room, rows);
		const seen = run(room, rows).map(({ token }) => token);
		assert.equal(seen[0], 1);
		assert.deepEqual([...new Set(seen.slice(1, 41))].sort(), [1, 2, 4, 7]);
	});

	test("boundaries: minP 1, minP and topP at the very probability of a token", () => {
		const rows: Row[] = [];
		for (let i = 0; i < 200; i++) {
			const logits = Float32Array.from([
				0,
				0,
				-1,
				-Math.LN2,
				-2,
				-Math.log(4),
				0,
			]);
			const minP = [1, 0.5, 0.25, Math.fround(Math.exp(-1))][i % 4];
			rows.push({ ...plainRow, logits, minP, temperature: 1, seed: [i, 3] });
		}
		check(room, rows);
	});

	test("NaN and all-forbidden rows fail, others beside them do not", () => {
		const logits = () =>
			Float32Array.from({ length: 37 }, (_, i) => Math.sin(i));
		const withNaN = (i: number) => {
			const x = logits();
			x[i] = Number.NaN;
			return x;
		};
		const all = Array.from({ length: 37 }, (_, i) => [i, -Infinity] as const);
		const rows: Row[] = [
			...[0, 3, 31, 32, 35, 36].map((i) => ({
				...plainRow,
				logits: withNaN(i),
				entries: 3,
			})),
			{ ...plainRow, logits: withNaN(5), allowed: [1, 2], temperature: 1 },
			{ ...plainRow, logits: logits(), allowed: [], entries: 2 },
			{ ...plainRow, logits: logits(), bias: all, temperature: 1 },
			{
				...plainRow,
				logits: logits(),
				allowed: [36],
				bias: [[36, -Infinity]],
			},
			{ ...plainRow, logits: logits(), allowed: [36], entries: 2 },
			{ ...plainRow, logits: withNaN(36), scored: 2, entries: 2 },
			{ ...plainRow, logits: logits(), scored: 36, entries: 38 },
		];
		check(room, rows);
		const results = run(room, rows).map(({ result }) => result);
		assert.deepEqual(
			results.slice(0, 11),
			[-1, -1, -1, -1, -1, -1, -1, -2, -2, -2, 36],
		);
	});

	test("infinite logits are treated as the reference treats them", () => {
		const logits = Float32Array.from([1, Infinity, 2, Infinity, -Infinity, 0]);
		const rows = [0, 1].flatMap((temperature) =>
			[1, 0.5].map((topP) => ({
				...plainRow,
				logits,
				temperature,
				topP,
				seed: [7, 7] as const,
			})),
		);
		check(room, rows);
	});

	test("a temperature so cold that values overflow: the lowest of them is taken, filters or not", () => {
		const logits = new Float32Array(300).fill(-1);
		for (const i of [299, 150, 70]) logits[i] = i * 1e36;
		const rows = [{}, { topK: 2 }, { topP: 0.5 }, { minP: 0.5 }].map((row) => ({
			...plainRow,
			logits,
			temperature: 1e-3,
			...row,
		}));
		check(room, rows);
		assert.deepEqual(
			run(room, rows).map(({ token }) => token),
			[70, 70, 70, 70],
		);
	});
});

const pick = <T>(random: RandomSource, ...choices: T[]): T =>
	choices[random.below(choices.length)];

/** Every parameter is off in about half of the rows. */
function randomRow(vocab: number, random: RandomSource): Row {
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
		carried: maybe<number | null>(null, () => random.below(vocab)),
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
		scored: random.uniform() < 0.1 ? random.below(vocab) : null,
	};
}

function randomLogits(vocab: number, random: RandomSource): Float32Array {
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

interface Result {
	readonly result: number;
	readonly token: number;
	/** What the stages before the draw left. */
	readonly logits: Float32Array;
	readonly entryTokens: number[];
	readonly entryLogprobs: number[];
	readonly entryRanks: number[];
}

/** Runs the kernel over all rows of one vocabulary. */
function run(room: Room, rows: readonly Row[]): Result[] {
	const vocab = rows[0].logits.length;
	const { input, order } = stepInput(rows);
	room.reset();
	const limits = { ...LIMITS, maxNumSeqs: rows.length };
	const step = room.take(stepBytesOf(limits, vocab, 0));
	const { rows: rowsAt } = writeStep(room.memory.buffer, step, input, vocab, 0);
	const scratchBytes = samplerScratchOf(vocab);
	const scratch = room.take(scratchBytes);
	room.i32(scratch, vocab).fill(0);
	const results: Result[] = new Array(rows.length);
	const logits = room.take(vocab * 4);
	for (const [r, index] of order.entries()) {
		room.f32(logits, vocab).set(rows[index].logits);
		const at = rowsAt + r * ROW_WORDS * 4;
		const words = room.i32(at, ROW_WORDS);
		words[ROW.logits] = logits;
		words[ROW.carried] = rows[index].carried ?? -1;
		room.kernels.sample_row(at, scratch);
		assert.equal(
			room.i32(scratch + scratchBytes, 1)[0],
			-1,
			"the sampler wrote behind its scratch",
		);
		assert.equal(
			room.i32(logits + vocab * 4, 1)[0],
			-1,
			"the sampler wrote behind the logits",
		);
		assert.ok(
			room.i32(scratch, vocab).every((word) => word === 0),
			"the sampler's counts are left zero",
		);
		const result = words[ROW.result];
		const length = result < 0 ? 0 : Math.min(rows[index].entries, vocab + 1);
		results[index] = {
			result,
			token: result,
			logits: leftBy(
				rows[index],
				result,
				room.f32(at, ROW_WORDS)[ROW.threshold],
				room.f32(logits, vocab),
			),
			entryTokens: Array.from(room.i32(words[ROW.entryTokens], length)),
			entryLogprobs: Array.from(room.f32(words[ROW.entryLogprobs], length)),
			entryRanks: Array.from(room.i32(words[ROW.entryRanks], length)),
		};
	}
	return results;
}

/** The kernel leaves temperature and filters to its last stage: they are a quotient and a threshold. */
function leftBy(
	{ temperature, scored }: Row,
	result: number,
	threshold: number,
	adjusted: Float32Array,
): Float32Array {
	if (temperature === 0 || scored !== null || result < 0)
		return adjusted.slice();
	const values = adjusted.map((logit) => logit / Math.fround(temperature));
	return values.map((value) => (value >= threshold ? value : -Infinity));
}

/** order[r]: which of `rows` stands in row r; scoring rows come last. */
function stepInput(rows: readonly Row[]): {
	input: StepInput;
	order: number[];
} {
	const all = rows.map((_, i) => i);
	const sampled = all.filter((i) => rows[i].scored === null);
	const scored = all.filter((i) => rows[i].scored !== null);
	const order = [...sampled, ...scored];
	const numbers = (of: (row: Row) => number) => sampled.map((i) => of(rows[i]));
	const starts = (of: (row: Row) => readonly unknown[]) => {
		const result = [0];
		for (const i of sampled)
			result.push(result[result.length - 1] + of(rows[i]).length);
		return Int32Array.from(result);
	};
	const words = Math.ceil(rows[0].logits.length / 32);
	const masked = sampled.flatMap((i, r) =>
		rows[i].allowed === null ? [] : [r],
	);
	const masks = new Uint32Array(masked.length * words);
	for (const [m, r] of masked.entries())
		for (const id of rows[sampled[r]].allowed ?? [])
			masks[m * words + (id >>> 5)] |= 1 << (id & 31);
	const sampling: SamplingInput = {
		temperature: Float32Array.from(numbers((row) => row.temperature)),
		topK: Int32Array.from(numbers((row) => row.topK)),
		topP: Float32Array.from(numbers((row) => row.topP)),
		minP: Float32Array.from(numbers((row) => row.minP)),
		presencePenalty: Float32Array.from(numbers((row) => row.presence)),
		frequencyPenalty: Float32Array.from(numbers((row) => row.frequency)),
		repetitionPenalty: Float32Array.from(numbers((row) => row.repetition)),
		seeds: Uint32Array.from(sampled.flatMap((i) => rows[i].seed)),
		outputPosition: Int32Array.from(numbers((row) => row.position)),
		historyStart: starts((row) => row.history),
		historyTokens: Int32Array.from(sampled.flatMap((i) => rows[i].history)),
		historyPromptLen: Int32Array.from(numbers((row) => row.promptLen)),
		biasStart: starts((row) => row.bias),
		biasTokens: Int32Array.from(
			sampled.flatMap((i) => rows[i].bias.map(([id]) => id)),
		),
		biasValues: Float32Array.from(
			sampled.flatMap((i) => rows[i].bias.map(([, value]) => value)),
		),
		numMasks: masked.length,
		maskRows: Int32Array.from(masked),
		masks,
		logprobEntries: Int32Array.from(order.map((i) => rows[i].entries)),
		scoredTokens: Int32Array.from(scored.map((i) => rows[i].scored ?? 0)),
	};
	const none = new Int32Array(1);
	const input: StepInput = {
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
		logitRows: new Int32Array(rows.length),
		numCarried: 0,
		carryTo: none,
		carryFrom: none,
		adapterTokens: none,
		adapterStart: none,
		sampling,
	};
	return { input, order };
}

function check(room: Room, rows: readonly Row[]) {
	const { input, order } = stepInput(rows);
	const results = run(room, rows);
	let numExcused = 0;
	for (const [r, index] of order.entries()) {
		const row = rows[index];
		const got = results[index];
		const label = `row ${index}: ${describe(row)}`;
		if (row.logits.some(Number.isNaN)) {
			assert.equal(got.result, -1, label);
			continue;
		}
		const logits = row.logits.slice();
		const want =
			row.scored ?? sampleRow(logits, input.sampling, r, row.carried) ?? -2;
		const differs = logits.findIndex((logit, i) => logit !== got.logits[i]);
		if (got.result !== want || differs >= 0) {
			const what =
				differs < 0
					? `token ${got.result}, not ${want}`
					: `logit ${differs} is ${got.logits[differs]} before the draw, not ${logits[differs]}`;
			assert.ok(nearTopP(row, input.sampling, r), `${what}. ${label}`);
			numExcused++;
			continue;
		}
		if (want >= 0 && row.entries > 0) checkEntries(row, got, label);
	}
	return {
		numExcused,
		numTokens: new Set(results.map(({ token }) => token)).size,
	};
}

function checkEntries(row: Row, got: Result, label: string): void {
	const want = rowLogprobs(row.logits, got.token, row.entries);
	assert.equal(got.entryTokens.length, want.length, `entries of ${label}`);
	for (const [i, { tokenId, rank, logprob }] of want.entries()) {
		const theirs = `${got.entryTokens[i]} of rank ${got.entryRanks[i]}`;
		if (got.entryTokens[i] !== tokenId || got.entryRanks[i] !== rank)
			assert.fail(
				`entry ${i}: ${theirs}, not ${tokenId} of rank ${rank}. ${label}`,
			);
		// Infinite, or undefined where a logit is infinite.
		if (Object.is(got.entryLogprobs[i], logprob)) continue;
		const bound = 1e-6 + 1.2e-7 * Math.abs(logprob);
		assertClose(
			got.entryLogprobs[i],
			logprob,
			bound,
			() => `entry ${i} of ${label}`,
		);
	}
}

/** Whether some token's cumulative probability is topP within what f32 sums can tell: then two sums may cut on either side. */
function nearTopP(row: Row, sampling: SamplingInput, r: number): boolean {
	if (row.topP >= 1 || row.temperature === 0) return false;
	// All stages before top-p: with topP 1 and each token as the only possible draw, sampleRow leaves them in its logits.
	const logits = row.logits.slice();
	const topP = sampling.topP.slice();
	topP[r] = 1;
	sampleRow(logits, { ...sampling, topP }, r, row.carried);
	const total = logSumExp(logits);
	let mass = 0;
	for (const logit of logits.slice().sort().reverse()) {
		mass += Math.exp(logit - total);
		if (Math.abs(mass - sampling.topP[r]) < 1e-6) return true;
	}
	return false;
}

function describe({ logits, ...rest }: Row): string {
	const shown =
		logits.length <= 33 ? `, logits ${Array.from(logits).join(" ")}` : "";
	return JSON.stringify(rest) + shown;
}
