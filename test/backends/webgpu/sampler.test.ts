/** The sampler against the reference's sampleRow and rowLogprobs, row by row: the same tokens, the same entries. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createKernelCompiler } from "../../../src/backends/webgpu/kernel.ts";
import { randomSource } from "../../support/random.ts";
import { openTestGpu } from "../../support/webgpu.ts";
import {
	check,
	openSampler,
	plainRow,
	type Row,
	randomRow,
} from "./sampler-room.ts";

const gpu = await openTestGpu();
const compile = createKernelCompiler(gpu);
after(() => gpu.close());

for (const [vocab, numRows] of [
	[2, 128],
	[9, 128],
	[257, 96],
	[1000, 64],
])
	test(`random rows of ${vocab} tokens, two steps of ${numRows} in slices of 48`, async () => {
		const room = await openSampler(gpu, compile, vocab, 48);
		const random = randomSource(20 + vocab);
		const numScoring = numRows / 8;
		let numBefore = 0;
		let before: Int32Array | undefined;
		let numExcused = 0;
		for (let step = 0; step < 2; step++) {
			const rows = Array.from({ length: numRows }, (_, r) => {
				const row = randomRow(vocab, random, numBefore);
				if (r < numRows - numScoring) return row;
				return { ...row, scored: random.below(vocab), carriedFrom: null };
			});
			const output = await room.submit(rows);
			numExcused += check(rows, output, { before });
			// What was not sampled is carried as token 0.
			before = output.tokenIds;
			numBefore = before.length;
			assert.ok(new Set(before).size > Math.min(vocab, 5) - 1, "tokens differ");
		}
		assert.ok(numExcused <= 1, `${numExcused} boundaries of top-p`);
		room.sampler.destroy();
	});

/** Runs one step of rows of one vocabulary and holds it to the reference. */
async function checkStep(rows: readonly Row[], sliceRows = rows.length) {
	const room = await openSampler(
		gpu,
		compile,
		rows[0].logits.length,
		sliceRows,
	);
	const output = await room.submit(rows);
	assert.equal(check(rows, output), 0);
	room.sampler.destroy();
	return output;
}

test("rows of 151,936 tokens, one with entries for all of them", async () => {
	const random = randomSource(21);
	const vocab = 151_936;
	const logits = random.vector(vocab).map((x) => 3 * x);
	const rows = [
		{},
		{ temperature: 1 },
		{ temperature: 0.7, topK: 50 },
		{ temperature: 1, topK: 9000 },
		{ temperature: 0.6, topP: 0.95 },
		{ temperature: 1.3, topP: 0.999 },
		{ temperature: 1, minP: 0.02, topP: 0.5, topK: 1000 },
		{
			temperature: 1,
			history: [5, 6, 7, 5],
			promptLen: 2,
			repetition: 1.2,
			frequency: 1,
			entries: 3,
		},
		{ entries: 21 },
		{ entries: vocab + 1 },
		{ scored: 151_935, entries: 6 },
	].map((row) => ({
		...plainRow,
		seed: [random.below(2 ** 32), 1] as const,
		logits,
		...row,
	}));
	await checkStep(rows, 6);
});

test("large logits and cold temperatures: scores keep their digits", async () => {
	const random = randomSource(22);
	const rows: Row[] = [];
	for (const offset of [0, 3000, -3000, 1e6, -1e6, 3e7])
		for (let i = 0; i < 20; i++) {
			// Equal logits: every token wins as often, and two scores may differ by little.
			const logits = new Float32Array(257).fill(offset);
			const seed = [random.below(2 ** 32), random.below(2 ** 32)] as const;
			const temperature = i % 2 ? 1 : 0.01;
			rows.push({
				...plainRow,
				logits,
				seed,
				temperature,
				topP: i % 4 ? 1 : 0.5,
			});
		}
	await checkStep(rows);
});

test("ties: greedy and best entries take lower ids, top-k keeps all equals", async () => {
	const logits = Float32Array.from([1, 3, 3, -1, 3, 0, 1, 3, -0]);
	const rows: Row[] = [{ ...plainRow, logits, entries: 5 }];
	for (let k = 1; k <= 10; k++)
		for (let i = 0; i < 20; i++)
			rows.push({
				...plainRow,
				logits,
				topK: k,
				temperature: 50,
				seed: [i, k],
				entries: k,
			});
	const { tokenIds } = await checkStep(rows);
	assert.equal(tokenIds[0], 1);
	const kept = [...new Set(tokenIds.subarray(1, 21))].sort();
	assert.deepEqual(kept, [1, 2, 4, 7]);
});

test("more equals than the device lists: hundreds tie for the last places", async () => {
	const random = randomSource(23);
	const flat = (scale: number) =>
		Float32Array.from({ length: 1000 }, () => scale * random.below(3));
	const rows = [1, 5, 100].flatMap((scale) =>
		[2, 6, 257].flatMap((entries) =>
			[{ topK: 40 }, { topP: 0.3 }, { topP: 0.3, topK: 3 }].map((filter) => ({
				...plainRow,
				logits: flat(scale),
				temperature: 1,
				seed: [scale, entries] as const,
				entries,
				...filter,
			})),
		),
	);
	await checkStep(rows);
});

test("logits at zero: the greatest is 0, and -0 equals it", async () => {
	const rows = Array.from({ length: 160 }, (_, i) => ({
		...plainRow,
		logits: Float32Array.from([-1, -0, 0, -2, -0, -0.5, 0, -1.5, -0.25]),
		temperature: 1,
		seed: [i, 4] as const,
		topK: 1 + (i % 9),
		topP: i % 2 ? 1 : 0.6,
		entries: 6,
	}));
	await checkStep(rows);
});

test("boundaries: minP 1, minP and topP at the very probability of a token", async () => {
	const logits = Float32Array.from([
		0,
		0,
		-1,
		-Math.LN2,
		-2,
		-Math.log(4),
		0,
		-9,
		-9,
	]);
	const rows = Array.from({ length: 100 }, (_, i) => ({
		...plainRow,
		logits,
		minP: [1, 0.5, 0.25, Math.fround(Math.exp(-1))][i % 4],
		temperature: 1,
		seed: [i, 3] as const,
	}));
	await checkStep(rows);
});

test("NaN and all-forbidden rows fail, others beside them do not", async () => {
	const logits = () =>
		Float32Array.from({ length: 257 }, (_, i) => Math.sin(i));
	const withNaN = (i: number) => {
		const x = logits();
		x[i] = Number.NaN;
		return x;
	};
	const all = Array.from({ length: 257 }, (_, i) => [i, -Infinity] as const);
	const nothing = new Float32Array(257).fill(-Infinity);
	const rows: Row[] = [
		...[0, 3, 31, 32, 255, 256].map((i) => ({
			...plainRow,
			logits: withNaN(i),
			entries: 3,
		})),
		{ ...plainRow, logits: withNaN(5), allowed: [1, 2], temperature: 1 },
		{ ...plainRow, logits: withNaN(5), bias: all, topP: 0.5, temperature: 1 },
		{ ...plainRow, logits: logits(), allowed: [], entries: 2 },
		{ ...plainRow, logits: logits(), bias: all, temperature: 1 },
		{ ...plainRow, logits: nothing, topK: 3, temperature: 1 },
		{ ...plainRow, logits: logits(), allowed: [256], bias: [[256, -Infinity]] },
		{ ...plainRow, logits: logits(), allowed: [256], entries: 2 },
		{ ...plainRow, logits: withNaN(256), scored: 2, entries: 2 },
		{ ...plainRow, logits: withNaN(256), scored: 2 },
		{ ...plainRow, logits: logits(), scored: 256, entries: 258 },
	];
	const { failedRows, tokenIds } = await checkStep(rows);
	assert.equal(failedRows.size, 14);
	assert.equal(tokenIds[12], 256);
});

test("a step whose rows all fail has no logprobs", async () => {
	const logits = new Float32Array(257).fill(Number.NaN);
	const row = { ...plainRow, logits, entries: 3 };
	const { logprobs } = await checkStep([row, { ...row, scored: 3 }]);
	assert.equal(logprobs, null);
});

test("infinite logits are treated as the reference treats them", async () => {
	const logits = Float32Array.from([
		1,
		Infinity,
		2,
		Infinity,
		-Infinity,
		0,
		1,
		2,
		3,
	]);
	const rows = [0, 1, 0.01].flatMap((temperature) =>
		[1, 0.5].map((topP) => ({
			...plainRow,
			logits,
			temperature,
			topP,
			seed: [7, 7] as const,
		})),
	);
	await checkStep(rows);
});

test("three steps submitted before the first is read: each counts the tokens of the one before it", async () => {
	const vocab = 257;
	const room = await openSampler(gpu, compile, vocab, 3);
	const random = randomSource(24);
	// Penalties so large that a row repeats none of its tokens, or nothing but them.
	const steps = Array.from({ length: 12 }, (_, step) =>
		Array.from({ length: 8 }, (_, r) => ({
			...plainRow,
			logits: random.vector(vocab),
			temperature: r % 2,
			seed: [step, r] as const,
			entries: step % 3 === 2 ? 4 : 0,
			history: [1],
			promptLen: 1,
			presence: r < 4 ? 50 : -50,
			carriedFrom: step === 0 ? null : 7 - r,
		})),
	);
	let before: Int32Array | undefined;
	for (let first = 0; first < steps.length; first += 3) {
		const three = steps.slice(first, first + 3);
		const outputs = await Promise.all(three.map((rows) => room.submit(rows)));
		for (const [i, output] of outputs.entries()) {
			assert.equal(check(three[i], output, { before }), 0);
			before = output.tokenIds;
		}
	}
	room.sampler.destroy();
});

test("a step without rows", async () => {
	const room = await openSampler(gpu, compile, 9, 4);
	const { tokenIds, logprobs } = await room.submit([]);
	assert.equal(tokenIds.length, 0);
	assert.equal(logprobs, null);
	room.sampler.destroy();
});

test("without subgroups", async () => {
	const abilities = { ...gpu.abilities, subgroupSize: 1 };
	const room = await openSampler({ ...gpu, abilities }, compile, 9, 64);
	const random = randomSource(25);
	const rows = Array.from({ length: 64 }, () => randomRow(9, random));
	check(rows, await room.submit(rows));
	room.sampler.destroy();
});
