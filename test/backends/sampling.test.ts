/** The sampler: which tokens each stage leaves, in which order the stages come, and whether the draws are as likely as they should be. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { SamplingInput } from "../../src/backends/backend.ts";
import { hash4, sampleRow } from "../../src/backends/reference/sample.ts";
import type { SamplingParamsInput } from "../../src/config.ts";
import { createPacker } from "../../src/engine/batch.ts";
import {
	LlmEngine,
	type LlmEngineConfig,
} from "../../src/engine/llm-engine.ts";
import {
	engineConfig,
	request,
	tinyExecutable,
} from "../support/engine-harness.ts";
import { makeSequence, type SequenceOptions } from "../support/sequences.ts";

const VOCAB = 61;

/** What the packer makes of a sequence about to sample: the way parameters take in the engine. */
function packed(
	params: SamplingParamsInput,
	prompt: readonly number[],
	output: readonly number[] = [],
	options: SequenceOptions = {},
): SamplingInput {
	const limits = {
		blockSize: 16,
		maxNumSeqs: 2,
		maxNumBatchedTokens: 64,
		vocabSize: VOCAB,
	};
	const seq = makeSequence(prompt, params, options);
	for (const token of output) seq.appendToken(token);
	const scheduled = { seq, start: 0, numTokens: seq.numTokens, samples: true };
	const { input } = createPacker(limits)({
		scheduled: [scheduled],
		numDecodes: 0,
		numTokens: seq.numTokens,
	});
	return input.sampling;
}

/** Row 0 with nothing set but what is given. */
function plainRow(row: {
	temperature?: number;
	topK?: number;
	topP?: number;
	minP?: number;
}): SamplingInput {
	const { temperature = 1, topK = 0, topP = 1, minP = 0 } = row;
	return {
		temperature: Float32Array.of(temperature),
		topK: Int32Array.of(topK),
		topP: Float32Array.of(topP),
		minP: Float32Array.of(minP),
		presencePenalty: Float32Array.of(0),
		frequencyPenalty: Float32Array.of(0),
		repetitionPenalty: Float32Array.of(1),
		seeds: Uint32Array.of(0, 0),
		outputPosition: Int32Array.of(0),
		historyStart: Int32Array.of(0, 0),
		historyTokens: Int32Array.of(),
		historyPromptLen: Int32Array.of(0),
		biasStart: Int32Array.of(0, 0),
		biasTokens: Int32Array.of(),
		biasValues: Float32Array.of(),
		numMasks: 0,
		maskRows: Int32Array.of(0),
		masks: Uint32Array.of(),
		logprobEntries: Int32Array.of(0),
		scoredTokens: Int32Array.of(),
	};
}

/** Logits as the draw sees them: what was filtered is -Infinity. */
function processed(
	logits: readonly number[],
	sampling: SamplingInput,
	carried: number | null = null,
): number[] {
	const row = Float32Array.from(logits);
	sampleRow(row, sampling, 0, carried);
	return Array.from(row);
}

const logitsOf = (entries: Record<number, number>, rest = 0) =>
	Array.from({ length: VOCAB }, (_, i) => entries[i] ?? rest);

interface Knobs {
	readonly temperature: number;
	readonly topK: number;
	readonly topP: number;
	readonly minP: number;
}

/** vLLM's order after the logits are biased and penalised: temperature, min-p, top-k, top-p. f64, sorting, ties kept. */
function naiveFilter(logits: readonly number[], knobs: Knobs): number[] {
	let kept = logits.map((l) => l / knobs.temperature);
	const keep = (holds: (l: number) => boolean) => {
		kept = kept.map((l) => (holds(l) ? l : -Infinity));
	};
	const best = Math.max(...kept);
	if (knobs.minP > 0) keep((l) => Math.exp(l - best) >= knobs.minP);
	if (knobs.topK > 0) {
		const sorted = kept.toSorted((a, b) => b - a);
		const last = sorted[Math.min(knobs.topK, sorted.length) - 1];
		keep((l) => l >= last);
	}
	if (knobs.topP < 1) {
		const total = kept.reduce((sum, l) => sum + Math.exp(l - best), 0);
		const p = (l: number) => Math.exp(l - best) / total;
		// The set is the smallest that reaches topP: those with less than topP above them.
		keep((l) => {
			const above = kept.filter((other) => other > l);
			return above.reduce((sum, other) => sum + p(other), 0) < knobs.topP;
		});
	}
	return kept;
}

const quarter = fc.integer({ min: -40, max: 40 }).map((n) => n / 4);
const knobs: fc.Arbitrary<Knobs> = fc
	.record({
		temperature: fc.constantFrom(0.5, 1, 2),
		topK: fc.constantFrom(0, 0, 1, 2, 3, 5, 8, 1000),
		topP: fc.oneof(
			fc.constant(1),
			fc.double({ min: 0.01, max: 0.99, noNaN: true }),
		),
		minP: fc.oneof(
			fc.constant(0),
			fc.double({ min: 0.001, max: 0.99, noNaN: true }),
		),
	})
	.map((k) => ({ ...k, topP: Math.fround(k.topP), minP: Math.fround(k.minP) }));

test("temperature, min-p, top-k and top-p leave exactly the naive sets, ties kept", () => {
	let numFiltered = 0;
	let numTied = 0;
	fc.assert(
		fc.property(
			fc.array(quarter, { minLength: 1, maxLength: 24 }),
			knobs,
			(logits, k) => {
				const got = processed(logits, plainRow(k));
				assert.deepEqual(got, naiveFilter(logits, k));
				const kept = got.filter((l) => l > -Infinity);
				if (kept.length < logits.length) numFiltered++;
				if (k.topK > 0 && kept.length > k.topK) numTied++;
			},
		),
		{ numRuns: 3000, seed: 2 },
	);
	assert.ok(numFiltered > 1000 && numTied > 20, `${numFiltered} ${numTied}`);
});

test("examples of each filter", () => {
	const logits = [0.5, 0.25, 0.15, 0.1].map((p) => Math.log(p));
	const keptBy = (k: Parameters<typeof plainRow>[0]) =>
		processed(logits, plainRow(k)).filter((l) => l > -Infinity).length;
	for (const [k, kept] of [
		[{}, 4],
		[{ topK: 2 }, 2],
		[{ topK: 99 }, 4],
		[{ topP: 0.4 }, 1],
		[{ topP: 0.6 }, 2],
		[{ topP: 0.8 }, 3],
		[{ topP: 0.95 }, 4],
		[{ topP: 1e-7 }, 1],
		[{ minP: 0.15 }, 4],
		[{ minP: 0.25 }, 3],
		[{ minP: 0.4 }, 2],
		[{ minP: 1 }, 1],
		// top-p is of what top-k and min-p left: 0.5 of 0.75 is two thirds.
		[{ topK: 2, topP: 0.6 }, 1],
		[{ minP: 0.4, topP: 0.6 }, 1],
		// and all of what temperature made of the logits.
		[{ temperature: 0.5, topP: 0.6 }, 1],
		[{ temperature: 2, minP: 0.4 }, 4],
	] as [Parameters<typeof plainRow>[0], number][])
		assert.equal(keptBy(k), kept, JSON.stringify(k));
});

test("temperature 0 takes the best after bias and penalties, the lowest id among equals", () => {
	const sample = (
		logits: number[],
		params: SamplingParamsInput,
		output: number[],
	) =>
		sampleRow(
			Float32Array.from(logits),
			packed({ temperature: 0, ...params }, [1], output),
			0,
			null,
		);
	const logits = logitsOf({ 4: 3, 9: 3, 20: 2 });
	assert.equal(sample(logits, {}, []), 4);
	assert.equal(sample(logits, { presencePenalty: 0.5 }, [4]), 9);
	assert.equal(sample(logits, { logitBias: { 20: 1.5 } }, []), 20);
	assert.equal(sample(logits, { topK: 5, topP: 0.5, minP: 0.5 }, []), 4);
});

test("penalties: repetition over prompt and output, then frequency and presence over the output", () => {
	const logits = logitsOf({ 1: 4, 2: -4, 3: 4, 4: -4, 5: 4, 6: 4 }, 1);
	const prompt = [1, 2, 1];
	const output = [3, 4, 3, 3];
	const params = {
		temperature: 1,
		repetitionPenalty: 2,
		frequencyPenalty: 0.25,
		presencePenalty: 0.5,
	};
	const want = logitsOf(
		{
			1: 2,
			2: -8,
			3: 2 - 3 * 0.25 - 0.5,
			4: -8 - 0.25 - 0.5,
			5: 4,
			6: 4,
		},
		1,
	);
	assert.deepEqual(processed(logits, packed(params, prompt, output)), want);
	want[5] = 2 - 0.25 - 0.5;
	assert.deepEqual(
		processed(logits, packed(params, prompt, output), 5),
		want,
		"a carried token is output",
	);
	want[5] = 4;
	want[3] -= 0.25;
	assert.deepEqual(
		processed(logits, packed(params, prompt, output), 3),
		want,
		"a carried token that was there already",
	);
	for (const [one, token, value] of [
		[{ frequencyPenalty: -1 }, 3, 7],
		[{ presencePenalty: -2 }, 3, 6],
		[{ presencePenalty: 1 }, 1, 4],
		[{ frequencyPenalty: 1 }, 1, 4],
		[{ repetitionPenalty: 0.5 }, 1, 8],
		[{ repetitionPenalty: 0.5 }, 4, -2],
	] as [SamplingParamsInput, number, number][])
		assert.equal(
			processed(logits, packed({ temperature: 1, ...one }, prompt, output))[
				token
			],
			value,
			JSON.stringify(one),
		);
});

test("the bias comes before the penalties, and both before the temperature", () => {
	const params = {
		temperature: 2,
		logitBias: { 3: 4, 5: -1.5 },
		repetitionPenalty: 2,
		presencePenalty: 1,
	};
	const got = processed(logitsOf({ 3: 2 }, 1), packed(params, [1], [3]));
	assert.equal(got[3], ((2 + 4) / 2 - 1) / 2);
	assert.equal(got[5], (1 - 1.5) / 2);
	assert.equal(got[1], 1 / 2 / 2);
	assert.equal(got[6], 1 / 2);
});

const forbidden = (
	params: SamplingParamsInput,
	output: number[] = [],
	options: SequenceOptions = {},
) =>
	processed(
		logitsOf({}),
		packed({ temperature: 1, ...params }, [1, 2], output, options),
	)
		.map((l, id) => (l === -Infinity ? id : -1))
		.filter((id) => id >= 0);

test("allowedTokenIds allow these and no others, whatever the bias", () => {
	const allowed = [0, 31, 32, 33, 60];
	assert.deepEqual(
		forbidden({ allowedTokenIds: allowed, logitBias: { 5: 100 } }),
		Array.from({ length: VOCAB }, (_, i) => i).filter(
			(i) => !allowed.includes(i),
		),
	);
});

test("minTokens forbids end-of-sequence and stop tokens up to there", () => {
	const params = { minTokens: 2, stopTokenIds: [7] };
	const eos = { eosTokenIds: [9] };
	assert.deepEqual(forbidden(params, [], eos), [7, 9]);
	assert.deepEqual(forbidden(params, [5], eos), [7, 9]);
	assert.deepEqual(forbidden(params, [5, 5], eos), []);
});

test("bad words: a single token never, the last of several only behind the others", () => {
	const words = { badWordIds: [[5], [6, 7], [6, 6, 8], [2, 9]] };
	assert.deepEqual(forbidden({}, [], words), [5]);
	assert.deepEqual(forbidden({}, [6], words), [5, 7]);
	assert.deepEqual(forbidden({}, [6, 6], words), [5, 7, 8]);
	assert.deepEqual(forbidden({}, [6, 6, 4], words), [5]);
	// The prompt ends in 2, but a word is of the output alone, as in vLLM.
	assert.deepEqual(forbidden({}, [], { badWordIds: [[2, 9]] }), []);
	assert.deepEqual(forbidden({}, [2], { badWordIds: [[2, 9]] }), [9]);
});

test("logitBias of -Infinity forbids, and where all is forbidden there is no token", () => {
	assert.deepEqual(forbidden({ logitBias: { 3: -Infinity } }), [3]);
	const row = Float32Array.from(logitsOf({}));
	const none = packed(
		{ temperature: 1, allowedTokenIds: [3], logitBias: { 3: -Infinity } },
		[1],
	);
	assert.equal(sampleRow(row, none, 0, null), null);
});

test("rows do not mix: each has its own history, bias and mask", () => {
	const limits = {
		blockSize: 16,
		maxNumSeqs: 3,
		maxNumBatchedTokens: 64,
		vocabSize: VOCAB,
	};
	const seqs = [
		makeSequence([1, 2], { temperature: 1, repetitionPenalty: 2 }),
		makeSequence([3], { temperature: 1, logitBias: { 4: 8 } }),
		makeSequence([5], {
			temperature: 1,
			allowedTokenIds: [5, 6],
			presencePenalty: 1,
		}),
	];
	seqs[2].appendToken(6);
	const { input } = createPacker(limits)({
		scheduled: seqs.map((seq) => ({
			seq,
			start: 0,
			numTokens: seq.numTokens,
			samples: true,
		})),
		numDecodes: 0,
		numTokens: 5,
	});
	const rows = seqs.map((_, r) => {
		const row = Float32Array.from(logitsOf({}, 2));
		sampleRow(row, input.sampling, r, null);
		return Array.from(row);
	});
	assert.deepEqual(rows[0], logitsOf({ 1: 1, 2: 1 }, 2));
	assert.deepEqual(rows[1], logitsOf({ 4: 10 }, 2));
	assert.deepEqual(rows[2], logitsOf({ 5: 2, 6: 1 }, -Infinity));
});

/** How far χ² lies above its mean, in standard deviations of a normal (Wilson and Hilferty 1931): 4.75 is p = 1e-6. */
function chiSquareZ(
	observed: readonly number[],
	expected: readonly number[],
): number {
	let chi = 0;
	let cells = 0;
	observed.forEach((count, i) => {
		if (expected[i] === 0) assert.equal(count, 0, `cell ${i} cannot occur`);
		else {
			chi += (count - expected[i]) ** 2 / expected[i];
			cells++;
		}
	});
	const k = cells - 1;
	if (k === 0) return 0;
	const spread = 2 / (9 * k);
	return ((chi / k) ** (1 / 3) - (1 - spread)) / Math.sqrt(spread);
}

test("the yardstick: fair counts pass, loaded and too even ones do not hide", () => {
	assert.ok(chiSquareZ([990, 1010, 1000], [1000, 1000, 1000]) < 4.75);
	assert.ok(chiSquareZ([1200, 900, 900], [1000, 1000, 1000]) > 4.75);
});

const DRAWS = 20_000;
const softmax = (logits: readonly number[]) => {
	const weights = logits.map((l) => Math.exp(l - Math.max(...logits)));
	const total = weights.reduce((a, b) => a + b, 0);
	return weights.map((w) => w / total);
};

/** The draws of a row at `state(i)` = [seed low, seed high, position]. */
function draws(
	logits: readonly number[],
	sampling: SamplingInput,
	numDraws: number,
	state: (i: number) => readonly [number, number, number],
): number[] {
	return Array.from({ length: numDraws }, (_, i) => {
		const [low, high, position] = state(i);
		sampling.seeds.set([high, low]);
		sampling.outputPosition[0] = position;
		return sampleRow(Float32Array.from(logits), sampling, 0, null) as number;
	});
}

function histogram(values: readonly number[], cells: number): number[] {
	const counts = new Array<number>(cells).fill(0);
	for (const value of values) counts[value]++;
	return counts;
}

const bumpy = Array.from({ length: 16 }, (_, i) => 2 * Math.sin(i * i));

/** Ways the state of the random source moves in practice. */
const walks: [string, (i: number) => readonly [number, number, number]][] = [
	["positions of one seed", (i) => [42, 0, i]],
	["seeds counting up", (i) => [i, 0, 0]],
	["seeds counting up, later position", (i) => [i, 0, 1000]],
	["large seeds", (i) => [0xfffff000 + (i % 4096), i >>> 12, 7]],
	["high words", (i) => [5, i, 3]],
	["arrivals without seeds", (i) => [Math.imul(i + 1, 0x9e3779b1) >>> 0, 1, 0]],
	["both", (i) => [i % 100, 0, Math.floor(i / 100)]],
];

for (const [name, state] of walks)
	test(`draws follow the softmax: ${name}`, () => {
		const knobs = [
			{},
			{ temperature: 0.5 },
			{ temperature: 3 },
			{ topK: 5 },
			{ topP: 0.7 },
			{ minP: 0.1 },
			{ temperature: 1.5, topK: 9, topP: 0.9, minP: 0.05 },
		];
		for (const k of knobs) {
			const full = { temperature: 1, topK: 0, topP: 1, minP: 0, ...k };
			const p = softmax(naiveFilter(bumpy, full));
			const drawn = draws(bumpy, plainRow(k), DRAWS, state);
			const z = chiSquareZ(
				histogram(drawn, 16),
				p.map((each) => each * DRAWS),
			);
			assert.ok(z < 4.75, `${JSON.stringify(k)}: z ${z}`);
		}
	});

test("draws over a wide vocabulary are even", () => {
	const cells = 500;
	const numDraws = 5000;
	const flat = new Array<number>(cells).fill(0);
	for (const [name, state] of walks.slice(0, 2)) {
		const drawn = draws(flat, plainRow({}), numDraws, state);
		const z = chiSquareZ(
			histogram(drawn, cells),
			flat.map(() => numDraws / cells),
		);
		assert.ok(z < 4.75, `${name}: z ${z}`);
	}
});

test("draws at neighbouring positions, seeds and outputs are independent", () => {
	const cells = 8;
	const flat = new Array<number>(cells).fill(0);
	const pairs: [
		string,
		(i: number, second: number) => readonly [number, number, number],
	][] = [
		["position and next", (i, second) => [9, 0, 2 * i + second]],
		["first two positions", (i, second) => [i, 0, second]],
		["seed and next", (i, second) => [2 * i + second, 0, 0]],
		["seed and next, at many positions", (i, second) => [1 + second, 0, i]],
		["seed and position", (i, second) => [i + second, 0, i + 1 - second]],
		["high word and next", (i, second) => [i, second, 0]],
		[
			"64 positions on",
			(i, second) => [3, 0, i + 64 * second + 128 * (i >> 6)],
		],
		[
			"seeds that differ in the top bit",
			(i, second) => [(i | (second << 31)) >>> 0, 0, 0],
		],
		[
			"neighbouring arrivals without seeds",
			(i, second) => [Math.imul(2 * i + second + 1, 0x9e3779b1) >>> 0, 1, 0],
		],
	];
	for (const [name, state] of pairs) {
		const first = draws(flat, plainRow({}), DRAWS, (i) => state(i, 0));
		const second = draws(flat, plainRow({}), DRAWS, (i) => state(i, 1));
		const z = chiSquareZ(
			histogram(
				first.map((a, i) => a * cells + second[i]),
				cells ** 2,
			),
			new Array(cells ** 2).fill(DRAWS / cells ** 2),
		);
		assert.ok(z < 4.75, `${name}: z ${z}`);
	}
});

test("the hash is the published pcg4d", () => {
	// A second writing of it, word by word in BigInt arithmetic.
	const pcg4d = (...input: number[]): number => {
		const word = (n: bigint) => BigInt.asUintN(32, n);
		let [x, y, z, w] = input.map((n) =>
			word(BigInt(n) * 1664525n + 1013904223n),
		);
		const round = () => {
			x = word(x + y * w);
			y = word(y + z * x);
			z = word(z + x * y);
			w = word(w + y * z);
		};
		round();
		[x, y, z, w] = [x, y, z, w].map((v) => v ^ (v >> 16n));
		round();
		return Number(x);
	};
	fc.assert(
		fc.property(fc.tuple(...[0, 1, 2, 3].map(() => fc.integer())), (v) => {
			const [a, b, c, d] = v as number[];
			assert.equal(hash4(a, b, c, d), pcg4d(a, b, c, d));
		}),
		{ seed: 1 },
	);
});

/** Each request's tokens, from one engine that gets them all at once. */
async function generate(
	requests: readonly { prompt: number[]; params: SamplingParamsInput }[],
	config: Partial<LlmEngineConfig> = {},
): Promise<number[][][]> {
	const full = engineConfig(config);
	const engine = new LlmEngine(await tinyExecutable(full, 64), full);
	const all = requests.map(({ prompt, params }, i) =>
		request(`r${i}`, prompt, { temperature: 1, maxTokens: 12, ...params }),
	);
	for (const each of all) engine.add(each);
	await Promise.all(all.map((each) => each.seen.done));
	await engine.close();
	return all.map((each) => each.seen.tokenIds);
}

test("a seeded request gives the same tokens alone and in any batch", async () => {
	const seeded = { prompt: [1, 2, 3], params: { seed: 77, topP: 0.95 } };
	const [alone] = await generate([seeded]);
	const others = [4, 5, 6].map((t) => ({ prompt: [t, t], params: {} }));
	for (const at of [0, 1, 3]) {
		const batch = others.toSpliced(at, 0, seeded);
		const results = await generate(batch, { maxNumBatchedTokens: 8, seed: at });
		assert.deepEqual(results[at], alone);
	}
	const [other] = await generate([
		{ ...seeded, params: { ...seeded.params, seed: 78 } },
	]);
	assert.notDeepEqual(other, alone);
	const [large] = await generate([
		{ ...seeded, params: { ...seeded.params, seed: 77 + 2 ** 32 } },
	]);
	assert.notDeepEqual(large, alone, "the high word of a seed counts");
});

test("n outputs of a seeded request differ, the same ones every time", async () => {
	const params = { n: 4, seed: 5 };
	const [first] = await generate([{ prompt: [1, 2], params }]);
	const [again] = await generate([{ prompt: [1, 2], params }], { seed: 9 });
	assert.deepEqual(again, first);
	assert.equal(new Set(first.map((ids) => ids.join())).size, 4);
	const [counted] = await generate([{ prompt: [1, 2], params: { seed: 7 } }]);
	assert.deepEqual(
		counted[0],
		first[2],
		"output i is the request with seed + i",
	);
});

test("requests without a seed differ, and repeat with the engine's seed", async () => {
	const requests = Array.from({ length: 5 }, () => ({
		prompt: [1, 2],
		params: {},
	}));
	const first = await generate(requests, { seed: 3 });
	assert.deepEqual(await generate(requests, { seed: 3 }), first);
	assert.equal(new Set(first.map((ids) => ids.join())).size, 5);
	const other = await generate(requests, { seed: 4 });
	for (const [i, ids] of other.entries()) assert.notDeepEqual(ids, first[i]);
	const seeded = await generate([{ prompt: [1, 2], params: { seed: 3 } }]);
	assert.notDeepEqual(seeded[0], first[0]);
});
