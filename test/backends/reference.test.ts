/** Every op of the reference backend against its formula, written down again in f64 and without paging; and what it does with bad numbers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type {
	Executable,
	StepInput,
	WeightSource,
} from "../../src/backends/backend.ts";
import { checkpointTensors } from "../../src/backends/program.ts";
import { referenceBackend } from "../../src/backends/reference/backend.ts";
import { rowLogprobs } from "../../src/backends/reference/logprobs.ts";
import {
	addScaled,
	attention,
	cap,
	dot,
	embed,
	linear,
	type Matrix,
	rmsNorm,
	rope,
	writeCache,
} from "../../src/backends/reference/ops.ts";
import { argmax, logSumExp } from "../../src/backends/reference/sample.ts";
import { LlmEngine } from "../../src/engine/llm-engine.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { dummyWeights } from "../../src/weights/dummy.ts";
import {
	engineConfig,
	request,
	TINY_CONFIG,
	tinyExecutable,
} from "../support/engine-harness.ts";

/** Seeded numbers in [-1, 1) with an outlier now and then. */
function noise(length: number, seed: number): Float32Array<ArrayBuffer> {
	let state = seed * 2654435761 + 12345;
	return Float32Array.from({ length }, () => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		const value = state / 2 ** 31 - 1;
		return state % 61 === 0 ? value * 40 : value;
	});
}
const matrix = (rows: number, width: number, seed: number): Matrix => ({
	data: noise(rows * width, seed),
	width,
});
const poisoned = (rows: number, width: number): Matrix => ({
	data: new Float32Array(rows * width).fill(NaN),
	width,
});

function close(
	got: ArrayLike<number>,
	want: readonly number[],
	message = "",
	tolerance = 1e-5,
): void {
	assert.equal(got.length, want.length, message);
	want.forEach((w, i) => {
		const bound = tolerance + tolerance * Math.abs(w);
		assert.ok(
			Math.abs(got[i] - w) <= bound,
			`${message} [${i}]: ${got[i]}, ${w}`,
		);
	});
}

const sizes = [1, 2, 3, 4, 5, 7, 16, 33, 127];

test("dot and linear are sums of products, and linear adds a bias where there is one", () => {
	for (const n of sizes) {
		const [a, b] = [noise(n + 2, n), noise(n + 3, n + 1)];
		let sum = 0;
		for (let i = 0; i < n; i++) sum += a[2 + i] * b[3 + i];
		close([dot(a, 2, b, 3, n)], [sum], `dot ${n}`);
	}
	for (const [T, I, O] of [
		[1, 1, 1],
		[3, 7, 5],
		[2, 33, 17],
	]) {
		const [x, w] = [matrix(T, I, 1), matrix(O, I, 2)];
		const bias = noise(O, 3);
		const want = (t: number, o: number) => {
			let sum = 0;
			for (let i = 0; i < I; i++) sum += x.data[t * I + i] * w.data[o * I + i];
			return sum;
		};
		const each = (f: (t: number, o: number) => number) =>
			Array.from({ length: T * O }, (_, i) => f(Math.floor(i / O), i % O));
		const y = poisoned(T, O);
		linear(x, T, w, null, y);
		close(y.data, each(want), "plain");
		linear(x, T, w, bias, y);
		close(
			y.data,
			each((t, o) => want(t, o) + bias[o]),
			"bias",
		);
	}
});

test("addScaled adds so many rows, each times the scale", () => {
	const [x, y] = [matrix(3, 5, 4), matrix(3, 5, 5)];
	const want = Array.from(y.data, (v, i) => (i < 10 ? v - 0.3 * x.data[i] : v));
	addScaled(x, 2, -0.3, y);
	close(y.data, want);
});

test("cap bends towards ±softCap, or does nothing", () => {
	for (const x of [-1e30, -7, -0.1, 0, 3, 1e30]) {
		assert.equal(cap(x, null), x);
		const e = Math.exp(Math.min(700, (2 * x) / 5));
		close([cap(x, 5)], [(5 * (e - 1)) / (e + 1)], `${x}`);
	}
});

test("embed copies rows times the scale", () => {
	const table = matrix(9, 5, 1);
	const out = poisoned(4, 5);
	embed(Int32Array.from([8, 0, 8, 3]), 3, table, 1, out);
	assert.deepEqual(
		[...out.data.subarray(0, 15)],
		[8, 0, 8].flatMap((id) => [...table.data.subarray(id * 5, id * 5 + 5)]),
	);
	assert.ok(out.data.subarray(15).every(Number.isNaN), "no row too many");
	embed(Int32Array.from([2]), 1, table, -1.5, out);
	close(
		out.data.subarray(0, 5),
		Array.from(table.data.subarray(10, 15), (v) => -1.5 * v),
	);
});

test("rmsNorm divides by the root of the mean square plus eps, in place or not", () => {
	for (const n of sizes)
		for (const eps of [1e-6, 0.5]) {
			const x = noise(n + 1, n);
			const weight = noise(n, n + 7);
			const mean = x.slice(1).reduce((sum, v) => sum + v * v, 0) / n;
			const want = Array.from(
				{ length: n },
				(_, i) => (x[1 + i] / Math.sqrt(mean + eps)) * weight[i],
			);
			const y = new Float32Array(n + 2).fill(NaN);
			rmsNorm(x, 1, weight, eps, y, 2);
			close(y.subarray(2), want, `n ${n}`);
			assert.ok(Number.isNaN(y[0]) && Number.isNaN(y[1]));
			rmsNorm(x, 1, weight, eps, x, 1);
			close(x.subarray(1), want, "in place");
		}
	const zeros = new Float32Array(4);
	rmsNorm(zeros, 0, noise(4, 1), 1e-6, zeros, 0);
	close(zeros, [0, 0, 0, 0]);
});

test("rope turns pairs i and i + F of the first 2F elements by position times frequency, and scales them", () => {
	for (const [D, F, scale] of [
		[2, 1, 1],
		[4, 2, 1.3],
		[6, 2, 1],
		[64, 32, 1],
		[64, 24, 0.7],
	]) {
		const inverseFrequencies = Float32Array.from(
			{ length: F },
			(_, i) => 10_000 ** (-i / F),
		);
		for (const position of [0, 1, 17, 4095]) {
			const x = noise(D + 1, D + position);
			const want = Array.from(x.subarray(1));
			for (let i = 0; i < F; i++) {
				const angle = position * inverseFrequencies[i];
				const [a, b] = [x[1 + i], x[1 + i + F]];
				want[i] = scale * (a * Math.cos(angle) - b * Math.sin(angle));
				want[i + F] = scale * (a * Math.sin(angle) + b * Math.cos(angle));
			}
			rope(x, 1, position, { inverseFrequencies, scale });
			// The angle is rounded to f32: at position 4095 that is worth 1e-4.
			close(x.subarray(1), want, `D ${D}, F ${F} at ${position}`, 1e-3);
		}
	}
});

interface Case {
	readonly contexts: readonly { length: number; query: number }[];
	readonly numKvHeads: number;
	readonly group: number;
	readonly headDim: number;
	readonly blockSize: number;
	readonly window: number | null;
	readonly softCap: number | null;
	readonly hasSinks: boolean;
	readonly seed: number;
}

/** softmax(cap(scale · q · Kᵀ), sink) · V over whole sequences, no pages. rows: [q | k | v] of every token of the sequence. */
function denseAttention(
	rows: Float32Array[],
	c: Case,
	scale: number,
	sinks: Float32Array | null,
) {
	const { numKvHeads, group, headDim: D, window, softCap } = c;
	const numHeads = numKvHeads * group;
	return rows.map((row, t) =>
		Array.from({ length: numHeads }, (_, h) => {
			const kvHead = Math.trunc(h / group);
			const q = row.subarray(h * D, (h + 1) * D);
			const part = (p: number, offset: number) => {
				const at = (numHeads + offset + kvHead) * D;
				return rows[p].subarray(at, at + D);
			};
			const seen = rows
				.map((_, p) => p)
				.filter((p) => p <= t && (window === null || p > t - window));
			const scores = seen.map((p) => {
				const k = part(p, 0);
				const score = scale * q.reduce((sum, v, i) => sum + v * k[i], 0);
				return Math.exp(
					softCap === null ? score : softCap * Math.tanh(score / softCap),
				);
			});
			const sink = sinks === null ? 0 : Math.exp(sinks[h]);
			const total = scores.reduce((a, b) => a + b, sink);
			return Array.from({ length: D }, (_, i) =>
				seen.reduce(
					(sum, p, j) => sum + (scores[j] / total) * part(p, numKvHeads)[i],
					0,
				),
			);
		}).flat(),
	);
}

const attentionCase: fc.Arbitrary<Case> = fc.record({
	contexts: fc.array(
		fc
			.tuple(fc.integer({ min: 1, max: 40 }), fc.nat({ max: 1000 }))
			.map(([length, n]) => ({ length, query: 1 + (n % length) })),
		{ minLength: 1, maxLength: 4 },
	),
	numKvHeads: fc.integer({ min: 1, max: 3 }),
	group: fc.integer({ min: 1, max: 4 }),
	headDim: fc.constantFrom(2, 4, 6, 16),
	blockSize: fc.constantFrom(1, 3, 4, 16),
	window: fc.option(fc.integer({ min: 1, max: 45 })),
	softCap: fc.option(fc.constantFrom(0.5, 3)),
	hasSinks: fc.boolean(),
	seed: fc.nat({ max: 1e6 }),
});

test("paged attention with groups, sliding windows, soft caps and sinks equals a dense softmax", () => {
	fc.assert(
		fc.property(attentionCase, (c) => {
			const { numKvHeads, group, headDim, blockSize } = c;
			const heads = { numHeads: numKvHeads * group, numKvHeads, headDim };
			const width = (heads.numHeads + 2 * numKvHeads) * headDim;
			const tables = shuffledTables(c);
			const numBlocks = tables.flat().length + 3;
			const cache = {
				keys: new Float32Array(
					numBlocks * numKvHeads * blockSize * headDim,
				).fill(NaN),
				values: new Float32Array(
					numBlocks * numKvHeads * blockSize * headDim,
				).fill(NaN),
				blockSize,
			};
			const rows = c.contexts.map(({ length }, s) =>
				Array.from({ length }, (_, t) =>
					noise(width, c.seed + 100 * s + t).map((v) => v / 2),
				),
			);
			// The tokens before the query are in the cache from an earlier step.
			for (const queryOnly of [false, true]) {
				const spans = c.contexts.map(({ length, query }) =>
					queryOnly ? [length - query, length] : [0, length - query],
				);
				const input = stepOf(spans, tables, blockSize);
				const qkv = {
					data: Float32Array.from(
						spans.flatMap(([from, to], s) =>
							rows[s].slice(from, to).flatMap((row) => [...row]),
						),
					),
					width,
				};
				writeCache(qkv, input, heads, cache);
				if (!queryOnly) continue;
				const out = poisoned(input.numTokens, heads.numHeads * headDim);
				const scale = headDim ** -0.5;
				const sinks = c.hasSinks ? noise(heads.numHeads, c.seed + 7) : null;
				const { window: slidingWindow, softCap } = c;
				const scoring = { scale, slidingWindow, softCap, sinks };
				attention(qkv, input, heads, scoring, cache, out);
				const want = spans.flatMap(([from, to], s) =>
					denseAttention(rows[s], c, scale, sinks).slice(from, to).flat(),
				);
				close(out.data, want, "attention", 2e-5);
			}
		}),
		{ numRuns: 150, seed: 8 },
	);
});

/** Block ids of every sequence, in no order, none shared. */
function shuffledTables({ contexts, blockSize, seed }: Case): number[][] {
	const counts = contexts.map(({ length }) => Math.ceil(length / blockSize));
	const total = counts.reduce((a, b) => a + b, 0);
	const order = noise(total, seed);
	const ids = Array.from({ length: total }, (_, i) => i).sort(
		(a, b) => order[a] - order[b],
	);
	return counts.map((count) => ids.splice(0, count));
}

function stepOf(
	spans: readonly number[][],
	tables: readonly number[][],
	blockSize: number,
): StepInput {
	const tokens = spans.flatMap(([from, to], s) =>
		Array.from({ length: to - from }, (_, i) => ({ s, p: from + i })),
	);
	const starts = (lengths: number[]) =>
		Int32Array.from([
			0,
			...lengths.map((_, i) =>
				lengths.slice(0, i + 1).reduce((a, b) => a + b, 0),
			),
		]);
	return {
		numTokens: tokens.length,
		numSeqs: spans.length,
		positions: Int32Array.from(tokens, ({ p }) => p),
		slotMapping: Int32Array.from(
			tokens,
			({ s, p }) =>
				tables[s][Math.floor(p / blockSize)] * blockSize + (p % blockSize),
		),
		queryStart: starts(spans.map(([from, to]) => to - from)),
		contextLens: Int32Array.from(spans, ([, to]) => to),
		blockTableStart: starts(tables.map((t) => t.length)),
		blockTables: Int32Array.from(tables.flat()),
	} as StepInput;
}

test("argmax takes the lowest id among equals", () => {
	assert.equal(argmax(Float32Array.from([1, 3, 3, 2, 3])), 1);
	assert.equal(argmax(Float32Array.from([-Infinity, -Infinity])), 0);
	assert.equal(argmax(Float32Array.from([-5, -4, -Infinity])), 1);
	assert.equal(argmax(Float32Array.from([0, -0])), 0);
});

test("logSumExp neither overflows nor vanishes", () => {
	close([logSumExp(Float32Array.from([1000, 1000]))], [1000 + Math.log(2)]);
	close([logSumExp(Float32Array.from([-1000, -1000]))], [-1000 + Math.log(2)]);
	close([logSumExp(Float32Array.from([3, -Infinity]))], [3]);
});

test("logprobs are log-softmax; the chosen first, the best in order, ranks by greater logits", () => {
	const logits = Float32Array.from([1, 4, 2, 4, 3, -1]);
	const total = Math.log(logits.reduce((sum, v) => sum + Math.exp(v), 0));
	const of = (chosen: number, entries: number) =>
		rowLogprobs(logits, chosen, entries);
	assert.deepEqual(
		of(2, 4).map((e) => [e.tokenId, e.rank]),
		[
			[2, 4],
			[1, 1],
			[3, 2],
			[4, 3],
		],
	);
	close(
		of(2, 4).map((e) => e.logprob),
		[2, 4, 4, 3].map((v) => v - total),
	);
	assert.equal(of(3, 1).length, 1);
	assert.equal(of(3, 1)[0].rank, 1, "nothing is greater");
	assert.equal(of(0, 2 ** 31 - 1).length, 1 + logits.length);
});

/**
 * The tiny model, whose hidden element 0 is zero but for one token; the first gate has a weight there that overflows to
 * -Infinity, and silu(-Infinity) is NaN. -1: no such token.
 */
async function nanModel(badToken: number): Promise<Executable> {
	const program = buildProgram(parseModelConfig(TINY_CONFIG));
	const shapes = checkpointTensors(program);
	const plain = dummyWeights(shapes, { seed: 7, dtype: "f32" });
	const weights: WeightSource = {
		...plain,
		async read(name, rowStart, rowEnd, signal) {
			const bytes = await plain.read(name, rowStart, rowEnd, signal);
			const values = new Float32Array(bytes.buffer);
			const width = values.length / (rowEnd - rowStart);
			if (name === "model.embed_tokens.weight")
				for (let row = rowStart; row < rowEnd; row++)
					values[(row - rowStart) * width] = row === badToken ? 100 : 0;
			if (/(o_proj|down_proj)/.test(name)) values.fill(0, 0, width);
			if (/layers.0.mlp.gate_proj/.test(name)) values[0] = -3e38;
			return bytes;
		},
	};
	const { blockSize, maxNumSeqs, maxNumBatchedTokens } = engineConfig();
	return referenceBackend.compile(program, weights, {
		kvCacheDtype: "auto",
		limits: {
			blockSize,
			maxNumSeqs,
			maxNumBatchedTokens,
			maxModelLen: 64,
			kvCacheBytes: null,
			memoryUtilization: 1,
		},
	});
}

test("NaN logits fail their own row; the others' bits do not change", async () => {
	const config = engineConfig();
	const prompts = [
		[1, 2, 3],
		[4, 5, 6, 7],
		[8, 9],
	];
	const runAll = async (badToken: number) => {
		const engine = new LlmEngine(await nanModel(badToken), config);
		const all = prompts.map((prompt, i) =>
			request(`r${i}`, prompt, {
				maxTokens: 8,
				logprobs: 2,
				promptLogprobs: 1,
			}),
		);
		for (const each of all) engine.add(each);
		await Promise.all(all.map((each) => each.seen.done));
		assert.equal(engine.stats().kvCacheUsage, 0);
		await engine.close();
		return all.map((each) => each.seen);
	};
	const [a, b, c] = await runAll(5);
	const [cleanA, cleanB, cleanC] = await runAll(-1);
	const [end] = b.ends;
	assert.ok(end.kind === "failed" && /NaN/.test(end.error.message));
	assert.equal(cleanB.ends[0].kind, "finished");
	for (const [got, want] of [
		[a, cleanA],
		[c, cleanC],
	]) {
		assert.deepEqual(got.tokenIds, want.tokenIds);
		assert.deepEqual(got.logprobs, want.logprobs);
		assert.deepEqual(got.promptLogprobs, want.promptLogprobs);
	}
});

test("a row where every token is forbidden fails alone", async () => {
	const config = engineConfig();
	const engine = new LlmEngine(await tinyExecutable(config, 64), config);
	const forbidden = [0, 0.7].map((temperature) =>
		request(`f${temperature}`, [1, 2], {
			temperature,
			allowedTokenIds: [3, 4],
			logitBias: { 3: -Infinity, 4: -Infinity },
		}),
	);
	const good = request("g", [1, 2], { allowedTokenIds: [3, 4], maxTokens: 5 });
	for (const each of [...forbidden, good]) engine.add(each);
	for (const { seen } of forbidden) {
		await seen.done;
		const [end] = seen.ends;
		assert.ok(end.kind === "failed");
		assert.match(end.error.message, /forbid every token/);
	}
	await good.seen.done;
	assert.equal(good.seen.tokenIds[0].length, 5);
	assert.ok(good.seen.tokenIds[0].every((id) => id === 3 || id === 4));
	await engine.close();
});
