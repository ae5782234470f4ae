/** The lists of a step's attention: every cached token of a decode in one item, every prefill token in one tile, room enough. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chunkTokens } from "../../../src/backends/webgpu/attention-lists.ts";
import {
	type AttentionWork,
	createAttentionWork,
} from "../../../src/backends/webgpu/attention-work.ts";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import type { FusedKind } from "../../../src/backends/webgpu/kernels/attention-decode-fused.ts";
import { ALONE } from "../../../src/backends/webgpu/kernels/attention-text.ts";
import { randomSource } from "../../support/random.ts";
import { openTestGpu, readBack } from "../../support/webgpu.ts";
import {
	limitsFor,
	programOf,
	type Span,
	stepOf,
} from "../../support/webgpu-attention.ts";

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

const HEADS = { numHeads: 4, numKvHeads: 2, headDim: 8 };
const BLOCK_SIZE = 16;

async function rowsOf(buffer: GPUBuffer, count: number): Promise<number[][]> {
	const words = new Uint32Array(await readBack(gpu, buffer));
	return Array.from({ length: count }, (_, i) => [
		...words.subarray(4 * i, 4 * i + 4),
	]);
}

function workOf(spans: readonly Span[]) {
	const input = stepOf(spans, BLOCK_SIZE, 5);
	const limits = limitsFor(input, BLOCK_SIZE);
	return { input, work: createAttentionWork(gpu, programOf(HEADS), limits) };
}

async function checkDecodes(work: AttentionWork, spans: readonly Span[]) {
	const items = await rowsOf(work.decodeItems, work.numDecodeItems);
	const merges = await rowsOf(work.decodeMerges, work.numMerges);
	const { queryStart, contextLens, blockTableStart } = stepOf(spans, 16, 5);
	let i = 0;
	let m = 0;
	for (const [s, [numTokens]] of spans.entries()) {
		if (numTokens !== 1) continue;
		const first = i;
		let end = 0;
		for (; end < contextLens[s]; i++) {
			const [token, table, from, to] = items[i];
			assert.equal(token & (ALONE - 1), queryStart[s]);
			assert.equal(table, blockTableStart[s]);
			assert.equal(from, end);
			assert.ok(to > from);
			end = to;
		}
		assert.equal(end, contextLens[s]);
		const alone = i - first === 1;
		assert.equal(items[first][0] >= ALONE, alone);
		if (!alone)
			assert.deepEqual(merges[m++], [queryStart[s], first, i - first, 0]);
	}
	assert.equal(i, work.numDecodeItems);
	assert.equal(m, work.numMerges);
}

async function checkTiles(work: AttentionWork, spans: readonly Span[]) {
	const tiles = await rowsOf(work.prefillItems, work.numPrefillItems);
	const { queryStart, positions, blockTableStart, numTokens } = stepOf(
		spans,
		16,
		5,
	);
	const seen = new Uint8Array(numTokens);
	let before = Infinity;
	for (const [token, count, table, position] of tiles) {
		const s = queryStart.findLastIndex((start) => start <= token);
		assert.ok(count >= 1 && count <= work.tileTokens);
		assert.equal(table, blockTableStart[s]);
		assert.equal(position, positions[token]);
		assert.ok(token + count <= queryStart[s + 1]);
		assert.ok(position + count <= before, "longest first");
		before = position + count;
		for (let t = token; t < token + count; t++) seen[t]++;
	}
	for (const [s, [n]] of spans.entries())
		for (let t = queryStart[s]; t < queryStart[s + 1]; t++)
			assert.equal(seen[t], n === 1 ? 0 : 1, `token ${t}`);
}

const STEPS: Readonly<Record<string, readonly Span[]>> = {
	"one token": [[1, 1]],
	"one long sequence": [[1, 40_960]],
	"a prompt": [[513, 513]],
	"decodes of every length": Array.from({ length: 130 }, (_, i) => [
		1,
		1 + i * 31,
	]),
	"decodes and chunks": [
		[1, 700],
		[1, 1],
		[100, 900],
		[1, 4000],
		[2, 2],
		[33, 33],
	],
};

for (const [name, spans] of Object.entries(STEPS))
	test(`work of ${name}`, async () => {
		const { input, work } = workOf(spans);
		work.write(input);
		await checkDecodes(work, spans);
		await checkTiles(work, spans);
		work.destroy();
	});

test("a written step leaves nothing of the one before", async () => {
	const [many, few] = [STEPS["decodes and chunks"], [[1, 3]] as const];
	const { input, work } = workOf(many);
	work.write(input);
	work.write(stepOf(few, BLOCK_SIZE, 5));
	await checkDecodes(work, few);
	assert.equal(work.numPrefillItems, 0);
	work.destroy();
});

/** Every cached token of a fused step's decodes in one chunk, its own besides in the last one's step; tables behind the items. */
async function checkFused(work: AttentionWork, spans: readonly Span[]) {
	const { numFusedItems: n } = work;
	const input = stepOf(spans, BLOCK_SIZE, 5);
	const rows = await rowsOf(work.blockTables, 2 * n);
	const merges = new Map(
		(await rowsOf(work.decodeMerges, work.numMerges)).map((row) => [
			row[0],
			row,
		]),
	);
	let most = 0;
	let size = Infinity;
	const seen = new Set<number>();
	for (let i = 0; i < n; ) {
		const token = rows[2 * i][0] & (ALONE - 1);
		const [, length] = spans[token];
		const first = i;
		let end = 0;
		do {
			const [word, table, position, slot] = rows[2 * i];
			const [from, to] = rows[2 * i + 1];
			assert.equal(word & (ALONE - 1), token);
			assert.equal(table, 8 * n + input.blockTableStart[token]);
			assert.deepEqual(
				[position, slot],
				[length - 1, input.slotMapping[token]],
			);
			assert.equal(from, end);
			assert.ok(to > from || length === 1);
			end = to;
			i++;
		} while (end < length - 1);
		assert.equal(end, length - 1);
		assert.ok(rows[2 * first + 1][1] <= size + 31, "longest first");
		size = rows[2 * first + 1][1];
		seen.add(token);
		const alone = i - first === 1;
		assert.equal(rows[2 * first][0] >= ALONE, alone);
		assert.deepEqual(
			merges.get(token),
			alone ? undefined : [token, first, i - first, 0],
		);
		if (!alone) most = Math.max(most, i - first);
	}
	assert.deepEqual([seen.size, most], [spans.length, work.mostMerged]);
	assert.equal(work.numDecodeItems + work.numPrefillItems, 0);
	const words = new Uint32Array(await readBack(gpu, work.blockTables));
	assert.deepEqual(
		[...words.subarray(8 * n)].slice(0, input.blockTables.length),
		[...input.blockTables],
	);
}

test("a step of decodes alone is fused, in whole where they are few and short", async () => {
	const few: readonly Span[] = [
		[1, 1],
		[1, 17],
		[1, 100],
	];
	const works = (
		fuses: readonly FusedKind[] | null,
		more: object = {},
		spans = few,
	) => {
		const input = stepOf(spans, BLOCK_SIZE, 5);
		const options = { fusedWorkgroups: 6, fusedTokens: 100, ...more, fuses };
		const limits = limitsFor(input, BLOCK_SIZE);
		const work = createAttentionWork(gpu, programOf(HEADS), limits, options);
		work.write(input);
		return work;
	};
	const both = ["whole", "chunks"] as const;
	const work = works(both);
	assert.equal(work.fused, "whole");
	assert.deepEqual([work.numFusedItems, work.numMerges], [3, 0]);
	await checkFused(work, few);
	const chunked = [
		works(both, { fusedWorkgroups: 5 }),
		works(both, { fusedTokens: 99, mostTokens: 32 }),
		works(["chunks"], { fewestTokens: 32 }),
	];
	for (const other of chunked) {
		assert.equal(other.fused, "chunks");
		await checkFused(other, few);
	}
	assert.equal(chunked[2].numMerges, 1);
	const many = STEPS["decodes of every length"];
	const wide = works(both, {}, many);
	assert.ok(wide.numFusedItems > many.length);
	await checkFused(wide, many);
	const unfused = [works(["whole"], { fusedWorkgroups: 5 }), works(null)];
	for (const other of unfused) {
		assert.equal(other.fused, null);
		await checkDecodes(other, few);
	}
	work.write(stepOf([[2, 2]], BLOCK_SIZE, 5));
	assert.equal(work.fused, null);
	assert.equal(work.numFusedItems, 0);
	for (const made of [work, ...chunked, wide, ...unfused]) made.destroy();
});

test("many prompt tokens have tall tiles, where there are such", async () => {
	const able = { subgroupMatrix: true, workgroupBytes: 49152 };
	const abilities = { ...gpu.abilities, ...able, maxInvocations: 1024 };
	const heads = { numHeads: 16, numKvHeads: 8, headDim: 128 };
	const prompts: readonly Span[] = [
		[1, 9],
		[130, 200],
		[64, 64],
	];
	const input = stepOf(prompts, BLOCK_SIZE, 5);
	const limits = limitsFor(input, BLOCK_SIZE);
	// 64 tokens a tile: three tiles and one, eight groups of heads each.
	for (const [tallWorkgroups, tileTokens] of [
		[32, 64],
		[33, 32],
	]) {
		const work = createAttentionWork(
			{ ...gpu, abilities },
			programOf(heads),
			limits,
			{ tallWorkgroups },
		);
		assert.deepEqual(work.tileHeights, [32, 64]);
		work.write(input);
		assert.equal(work.tileTokens, tileTokens);
		await checkTiles(work, prompts);
		await checkDecodes(work, prompts);
		work.destroy();
	}
});

test("there is never more than a sequence's own item and 1,024 besides", () => {
	const random = randomSource(1);
	for (let round = 0; round < 2000; round++) {
		const lengths = Array.from({ length: 1 + random.below(300) }, () =>
			Math.ceil(40_960 ** random.uniform()),
		);
		const total = lengths.reduce((a, b) => a + b, 0);
		const chunk = chunkTokens(total, 1 + random.below(16), {
			workgroups: 1 + random.below(100_000),
			fewestTokens: 1,
			mostTokens: 512,
		});
		const items = lengths.map((length) => Math.ceil(length / chunk));
		assert.ok(items.reduce((a, b) => a + b, 0) <= lengths.length + 1024);
	}
});
