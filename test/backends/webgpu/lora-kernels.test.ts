/** The kernels of adapters alone: what a leaves of rows, and the columns of several slots in every linear kernel. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createAdapterItems } from "../../../src/backends/webgpu/adapter-items.ts";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import {
	linearTiles,
	tilesGrid,
} from "../../../src/backends/webgpu/kernels/linear-tiles.ts";
import { linearVector } from "../../../src/backends/webgpu/kernels/linear-vector.ts";
import { vectorGrid } from "../../../src/backends/webgpu/kernels/linear-vector-plan.ts";
import {
	slotColumns,
	smallStride,
} from "../../../src/backends/webgpu/kernels/lora-columns.ts";
import {
	type AdapterTile,
	loraShrink,
	loraShrinkGrid,
} from "../../../src/backends/webgpu/kernels/lora-shrink.ts";
import {
	normShrink,
	normShrinkFits,
} from "../../../src/backends/webgpu/kernels/norm-shrink.ts";
import {
	rmsNorm,
	rowGrid,
} from "../../../src/backends/webgpu/kernels/rms-norm.ts";
import { type Storage, stride } from "../../../src/backends/webgpu/layout.ts";
import { randomSource } from "../../support/random.ts";
import {
	bufferOf,
	openTestGpu,
	readBack,
	runKernel,
} from "../../support/webgpu.ts";
import { checkLinear, shapeOf } from "../../support/webgpu-linear.ts";
import { loraFor, usedBuffer } from "../../support/webgpu-lora.ts";
import {
	assertWithin,
	paddedVector,
	randomActivation,
	randomMatrix,
	readFloats,
} from "../../support/webgpu-matrices.ts";

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

interface ShrinkCase {
	readonly width: number;
	readonly rank: number;
	readonly numTargets: number;
	readonly weighted: boolean;
	readonly tile: AdapterTile;
	readonly lanes?: number;
}

// biome-ignore format: a table
const SHRINKS: readonly ShrinkCase[] = [
	{ width: 1, rank: 8, numTargets: 1, weighted: false, tile: 1 },
	{ width: 33, rank: 8, numTargets: 3, weighted: true, tile: 1 },
	{ width: 1100, rank: 16, numTargets: 3, weighted: true, tile: 1 },
	{ width: 70, rank: 24, numTargets: 2, weighted: false, tile: 4 },
	{ width: 300, rank: 16, numTargets: 2, weighted: true, tile: 16 },
	{ width: 1030, rank: 40, numTargets: 1, weighted: false, tile: 16 },
	{ width: 130, rank: 8, numTargets: 1, weighted: false, tile: 1, lanes: 1 },
	{ width: 130, rank: 16, numTargets: 3, weighted: false, tile: 4, lanes: 1 },
	{ width: 130, rank: 16, numTargets: 3, weighted: false, tile: 16, lanes: 1 },
];

/** Tokens of each slot: a tile and a bit, none, a few; the others have no adapter. */
const SLOT_TOKENS = [
	[],
	[14, 12, 18],
	[20, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 0, 2, 4, 6, 8, 22],
];
const NUM_TOKENS = 24;
/** As webgpu-lora.ts has them in use. */
const PLACES = [2, 0];

for (const storage of ["f32", "f16"] as const)
	for (const small of ["f32", "f16"] as const)
		for (const given of SHRINKS)
			if (small === storage || given.tile === 1)
				test(`lora_shrink ${storage}, ${small}: ${JSON.stringify(given)}`, () =>
					checkShrink(given, storage, small));

async function checkShrink(
	given: ShrinkCase,
	storage: Storage,
	small: Storage,
): Promise<void> {
	const { width, rank, numTargets, weighted, tile, lanes } = given;
	const random = randomSource(width + rank);
	const numSlots = 3;
	const slots = [SLOT_TOKENS[2], [], SLOT_TOKENS[1]];
	const ranks = [rank, rank, Math.ceil(rank / 3)];
	const rows = numTargets * rank;
	const input = weighted ? "f32" : storage;
	const x = randomActivation(random, input, NUM_TOKENS, width, 5);
	const weight = random.vector(width);
	const a = randomMatrix(random, storage, numSlots * rows, width);
	const zeroed = Float64Array.from(a.elements, (v, i) => {
		const row = Math.floor(i / width);
		return row % rank < ranks[Math.floor(row / rows)] ? v : 0;
	});
	const halves = storage === "f16" ? new Float16Array(a.values.buffer) : null;
	const bits = halves ?? (a.values as Float32Array);
	zeroed.forEach((v, i) => {
		bits[Math.floor(i / width) * stride(width) + (i % width)] = v;
	});
	const lists = itemsOf(slots, ranks, tile);
	const shape = {
		rank,
		numSlots,
		firstRows: new Array<number>(numTargets).fill(0),
	};
	const pitch = smallStride(shape);
	const output = bufferOf(
		gpu,
		small === "f32"
			? new Float32Array(NUM_TOKENS * pitch).fill(NaN)
			: new Uint16Array(NUM_TOKENS * pitch).fill(0x7e00),
	);
	const abilities = {
		...gpu.abilities,
		subgroupSize: lanes ?? gpu.abilities.subgroupSize,
	};
	const options = {
		width,
		numTargets,
		rank,
		numSlots,
		input,
		storage,
		small,
		weighted,
		tile,
	} as const;
	const kernel = loraShrink(options, abilities);
	await runKernel(
		gpu,
		kernel,
		[
			bufferOf(gpu, lists.items),
			bufferOf(gpu, lists.list),
			bufferOf(gpu, x.data),
			...(weighted ? [bufferOf(gpu, paddedVector(weight))] : []),
			bufferOf(gpu, a.values),
			usedBuffer(gpu, numSlots),
			output,
		],
		loraShrinkGrid(lists.numItems, options),
	);
	const got = readFloats(await readBack(gpu, output), small);
	const columns = slotColumns(shape);
	for (let t = 0; t < NUM_TOKENS; t++) {
		const want = new Float64Array(PLACES.length * columns);
		const size = new Float64Array(want.length);
		const place = PLACES.findIndex((slot) => slots[slot].includes(t));
		if (place >= 0)
			for (let r = 0; r < rows; r++)
				for (let k = 0; k < width; k++) {
					const product =
						zeroed[(PLACES[place] * rows + r) * width + k] *
						x.elements[t * width + k] *
						(weighted ? weight[k] : 1);
					want[place * columns + r] += product;
					size[place * columns + r] += Math.abs(product);
				}
		assertWithin(
			got.subarray(t * pitch, t * pitch + want.length),
			want,
			(i) => 4e-6 * size[i] + (small === "f16" ? 1e-3 : 0) * Math.abs(want[i]),
			`${kernel.label}, token ${t}`,
		);
	}
}

/** Slot by slot as `PLACES` says, then the tokens without an adapter. */
function itemsOf(
	slots: readonly (readonly number[])[],
	ranks: readonly number[],
	tile: number,
) {
	const items: number[] = [];
	const list: number[] = [];
	const add = (place: number, tokens: readonly number[], rank: number) => {
		for (let i = 0; i < tokens.length; i += tile) {
			items.push(
				place,
				list.length + i,
				Math.min(tile, tokens.length - i),
				rank,
			);
		}
		list.push(...tokens);
	};
	for (const [place, slot] of PLACES.entries())
		add(place, slots[slot], ranks[slot]);
	const all = [...Array(NUM_TOKENS).keys()];
	add(
		PLACES.length,
		all.filter((t) => !slots.flat().includes(t)),
		0,
	);
	return {
		items: Uint32Array.from(items),
		list: Uint32Array.from(list),
		numItems: items.length / 4,
	};
}

interface NormCase {
	readonly width: number;
	readonly rank: number;
	readonly numTargets: number;
	readonly split: boolean;
	readonly lanes?: number;
}

// biome-ignore format: a table
const NORMS: readonly NormCase[] = [
	{ width: 33, rank: 8, numTargets: 3, split: false },
	{ width: 200, rank: 16, numTargets: 2, split: true },
	{ width: 1030, rank: 24, numTargets: 1, split: true },
	{ width: 130, rank: 8, numTargets: 1, split: false, lanes: 1 },
];

for (const storage of ["f32", "f16"] as const)
	for (const given of NORMS)
		test(`rms_norm with shrink, ${storage}: ${JSON.stringify(given)}`, () =>
			checkNormShrink(given, storage, given.split ? storage : "f32"));

/** Rows through a as the norm alone writes them, before they are rounded. */
async function checkNormShrink(
	{ width, rank, numTargets, split, lanes }: NormCase,
	storage: Storage,
	small: Storage,
): Promise<void> {
	const numTokens = 7;
	const numSlots = 3;
	const random = randomSource(width);
	const rows = numTargets * rank;
	const norm = {
		width,
		eps: 1e-5,
		storage,
		gather: false,
		split: split ? { splits: 2, rows: 128 } : null,
		bias: split,
	};
	const residual = randomActivation(random, "f32", numTokens, width, 5);
	const partials = randomActivation(random, "f32", 256, width, 5);
	const weight = random.vector(width);
	const bias = random.vector(width);
	const a = randomMatrix(random, storage, numSlots * rows, width);
	/** Place in use 0 is slot 2, with all of its rank; place 1 slot 0 with a third, whose last rows are not looked at. */
	const ranks = [rank, Math.ceil(rank / 3)];
	const owners = Uint32Array.from({ length: 2 * numTokens }, (_, i) => {
		const place = Math.floor(i / 2) % 3;
		if (place === 2) return 0;
		return i % 2 === 0 ? place : ranks[place];
	});
	const abilities = {
		...gpu.abilities,
		subgroupSize: lanes ?? gpu.abilities.subgroupSize,
	};
	const options = { norm, numTargets, rank, numSlots, small };
	assert.ok(normShrinkFits(width, rows, abilities));
	const firstRows = new Array<number>(numTargets).fill(0);
	const shape = { rank, numSlots, firstRows };
	const pitch = smallStride(shape);
	const inputs = () => [
		bufferOf(gpu, residual.data),
		...(split ? [bufferOf(gpu, partials.data)] : []),
		...(split ? [bufferOf(gpu, paddedVector(bias))] : []),
		bufferOf(gpu, paddedVector(weight)),
	];
	const rowsBytes = numTokens * stride(width) * 4;
	const alone = bufferOf(gpu, rowsBytes);
	const plain = inputs();
	const grid = rowGrid(numTokens);
	await runKernel(gpu, rmsNorm(norm, abilities), [...plain, alone], grid);
	const normed = bufferOf(gpu, rowsBytes);
	const output = bufferOf(gpu, new Float32Array(numTokens * pitch).fill(NaN));
	const both = inputs();
	await runKernel(
		gpu,
		normShrink(options, abilities),
		[
			...both,
			normed,
			bufferOf(gpu, owners),
			bufferOf(gpu, a.values),
			usedBuffer(gpu, numSlots),
			output,
		],
		grid,
	);
	const bytes = await readBack(gpu, normed);
	assert.deepEqual(bytes, await readBack(gpu, alone), "the norm's own output");
	assert.deepEqual(
		await readBack(gpu, both[0]),
		await readBack(gpu, plain[0]),
		"the residual",
	);
	const x = readFloats(bytes, storage);
	const got = readFloats(await readBack(gpu, output), small);
	const columns = slotColumns(shape);
	for (let t = 0; t < numTokens; t++) {
		const want = new Float64Array(PLACES.length * columns);
		const size = new Float64Array(want.length).fill(1e-6);
		const place = t % 3;
		for (let r = 0; place < 2 && r < rows; r++) {
			const together = rank % 16 === 0 ? 16 : 8;
			const first = Math.floor((r % rank) / together) * together;
			if (first >= ranks[place]) continue;
			for (let k = 0; k < width; k++) {
				const product =
					a.elements[(PLACES[place] * rows + r) * width + k] *
					x[t * stride(width) + k];
				want[place * columns + r] += product;
				size[place * columns + r] += Math.abs(product);
			}
		}
		const rtol = storage === "f16" ? 1e-3 : 4e-6;
		assertWithin(
			got.subarray(t * pitch, t * pitch + want.length),
			want,
			(i) => rtol * size[i],
			`token ${t}`,
		);
	}
}

/** Odd places of targets, and of a single one. */
const FIRST_ROWS = [[0, 7, 10], [0]];
const EPILOGUES = ["store", "add", "gated", "logits", "partial"] as const;

let number = 0;
for (const format of ["f16", "f32", "q8_0", "q4_0"] as const)
	for (const epilogue of EPILOGUES) {
		const storage = number % 2 === 0 ? "f16" : "f32";
		const rank = [8, 24, 16][number % 3];
		const firstRows = FIRST_ROWS[number++ % 2];
		const split = epilogue === "partial" ? { splits: 3, rows: 128 } : undefined;
		const bias = epilogue === "store";
		const [rows, columns] = [34, 257];
		const shape = { rows, columns, format, storage, epilogue, bias } as const;
		const lora = (small: Storage) =>
			loraFor(shape, { rank, firstRows, storage: small });
		test(`linear_tiles with adapters, ${format} ${storage} ${epilogue}`, async () => {
			const tile = { tokens: 32, rows: 32, threadTokens: 4, threadRows: 4 };
			const tiled = shapeOf({ ...shape, split, lora: lora(storage) });
			await checkLinear(gpu, {
				shape: tiled,
				kernel: linearTiles(tiled, tile),
				grid: tilesGrid(tiled, tile, 37),
				numTokens: 37,
				rtol: 4e-6,
			});
		});
		if (epilogue === "partial") continue;
		const [numTokens, normEps] = number % 2 === 0 ? [1, 1e-5] : [3, null];
		test(`linear_vector with adapters, ${format} ${storage} ${epilogue}, ${numTokens} tokens`, async () => {
			const options = {
				tokens: numTokens === 1 ? 1 : 4,
				// A gated output packs pairs of rows: two words' worth, however many teams a subgroup's size leaves.
				rowsPerTeam: epilogue === "gated" ? 4 : 2,
				subgroupsPerTeam: 2,
				threads: 64,
				unroll: 1,
				normEps,
			};
			const vector = shapeOf({ ...shape, lora: lora("f32") });
			await checkLinear(gpu, {
				shape: vector,
				kernel: linearVector(vector, options, gpu.abilities),
				grid: vectorGrid(vector, options, gpu.abilities),
				numTokens,
				normEps,
			});
		});
	}

test("the step's tokens in tiles: slots in use, then the tokens without", () => {
	const step = createAdapterItems(4, 12);
	const ranks = Int32Array.of(3, 5, 7, 9);
	step.write(
		{
			numTokens: 12,
			adapterTokens: Int32Array.of(2, 3, 4, 8, 9, 10, 11),
			adapterStart: Int32Array.of(0, 0, 5, 5, 7),
		},
		ranks,
	);
	assert.deepEqual([...step.used.subarray(0, 3)], [2, 1, 3]);
	assert.equal(step.numUsed, 2);
	const items = [...step.items.subarray(0, 4 * step.numItems)];
	assert.deepEqual(items, [
		...[0, 0, 4, 5],
		...[0, 4, 1, 5],
		...[1, 5, 2, 9],
		...[2, 7, 4, 0],
		...[2, 11, 1, 0],
	]);
	assert.deepEqual([...step.list], [2, 3, 4, 8, 9, 10, 11, 0, 1, 5, 6, 7]);
	const owners = [...step.owners];
	const ownersOf = (t: number) => owners.slice(2 * t, 2 * t + 2);
	assert.deepEqual([1, 2, 9, 10].map(ownersOf), [
		[0, 0],
		[0, 5],
		[0, 5],
		[1, 9],
	]);
	const none = {
		numTokens: 3,
		adapterTokens: new Int32Array(12),
		adapterStart: new Int32Array(5),
	};
	step.write(none, ranks);
	assert.equal(step.numItems, 0);
	assert.equal(step.numUsed, 0);
});
