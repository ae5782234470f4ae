/** The kernels of a mixture of experts against plain loops: routing, sorting by expert, experts' matrices in every kernel and format. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Gating } from "../../../src/backends/program.ts";
import { route } from "../../../src/backends/reference/experts.ts";
import { gate } from "../../../src/backends/reference/gating.ts";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import { pairKernel } from "../../../src/backends/webgpu/expert-choice.ts";
import type { Kernel } from "../../../src/backends/webgpu/kernel.ts";
import { combineExperts } from "../../../src/backends/webgpu/kernels/combine-experts.ts";
import { gatherRows } from "../../../src/backends/webgpu/kernels/gather-rows.ts";
import type { LinearShape } from "../../../src/backends/webgpu/kernels/linear.ts";
import { linearMatrix } from "../../../src/backends/webgpu/kernels/linear-matrix.ts";
import {
	type MatrixTile,
	matrixGrid,
	tileSizes,
} from "../../../src/backends/webgpu/kernels/linear-matrix-tile.ts";
import {
	linearTiles,
	tilesGrid,
} from "../../../src/backends/webgpu/kernels/linear-tiles.ts";
import {
	mostTiles,
	placeExperts,
} from "../../../src/backends/webgpu/kernels/place-experts.ts";
import {
	type RouteOptions,
	routeTokens,
} from "../../../src/backends/webgpu/kernels/route-tokens.ts";
import {
	type MatrixFormat,
	paddedRows,
	type Storage,
	stride,
} from "../../../src/backends/webgpu/layout.ts";
import { type RandomSource, randomSource } from "../../support/random.ts";
import {
	bufferOf,
	openTestGpu,
	readBack,
	runKernel,
	type TestArray,
} from "../../support/webgpu.ts";
import {
	assertWithin,
	randomActivation,
	randomMatrix,
	readFloats,
} from "../../support/webgpu-matrices.ts";
import { emulated } from "./emulated-matrices.ts";

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

const readWords = async (buffer: GPUBuffer) =>
	new Uint32Array(await readBack(gpu, buffer));

/** Scores of tokens, some equal; those of the kernel in parts. */
function scoresOf(
	random: RandomSource,
	{ numExperts, split }: RouteOptions,
	numTokens: number,
) {
	const row = stride(numExperts);
	const splits = split?.splits ?? 1;
	const rows = split?.rows ?? numTokens;
	const data = new Float32Array(splits * rows * row).fill(NaN);
	const bias = random.vector(numExperts);
	const scores = Array.from({ length: numTokens }, (_, t) =>
		Float32Array.from({ length: numExperts }, (_, e) => {
			let sum = 0;
			for (let s = 0; s < splits; s++) {
				// Whole quarters, so that some are equal and sums are exact.
				const part = Math.round(4 * random.normal()) / 4;
				data[(s * rows + t) * row + e] = part;
				sum += part;
			}
			return sum + (split ? bias[e] : 0);
		}),
	);
	return { data, bias, scores };
}

for (const [numExperts, topK, normalize, split] of [
	[1, 1, true, false],
	[3, 2, false, false],
	[8, 8, true, true],
	[33, 4, false, true],
	[130, 8, true, false],
] as const)
	test(`route_tokens, ${topK} of ${numExperts}${normalize ? ", normalized" : ""}${split ? ", from parts" : ""}`, async () => {
		const T = 6;
		const options: RouteOptions = {
			numExperts,
			topK,
			normalize,
			split: split ? { splits: 3, rows: 128 } : null,
			bias: split,
			isSorted: false,
		};
		const random = randomSource(numExperts);
		const { data, bias, scores } = scoresOf(random, options, T);
		const last = T - 1;
		scores[last].fill(NaN);
		data.fill(NaN, last * stride(numExperts), T * stride(numExperts));
		const routes = bufferOf(gpu, 8 * T * topK);
		await runKernel(
			gpu,
			routeTokens(options),
			[bufferOf(gpu, data), ...(split ? [bufferOf(gpu, bias)] : []), routes],
			[T],
		);
		const words = await readWords(routes);
		const weights = new Float32Array(words.buffer);
		for (let t = 0; t < last; t++)
			for (const [i, want] of route(scores[t], options).entries()) {
				const at = 2 * (t * topK + i);
				assert.equal(words[at], want.expert, `token ${t}, place ${i}`);
				const off = Math.abs(weights[at + 1] - want.weight);
				assert.ok(off <= 1e-5 * want.weight, `token ${t}, weight ${i}`);
			}
		for (let i = 0; i < topK; i++) {
			const at = 2 * (last * topK + i);
			assert.ok(words[at] < numExperts, "an expert there is");
			assert.ok(Number.isNaN(weights[at + 1]), "NaN stays NaN");
		}
	});

for (const [numExperts, topK, T, tile] of [
	[1, 1, 1, 16],
	[5, 2, 40, 16],
	[130, 8, 33, 32],
] as const)
	for (const storage of ["f16", "f32"] as const)
		test(`tokens sorted by ${numExperts} experts and back, ${storage}, twice`, async () => {
			const random = randomSource(T);
			const width = 40;
			const x = randomActivation(random, storage, T, width);
			const pairs = T * topK;
			const rows = tile * mostTiles({ numExperts, tile }, pairs);
			const s = stride(width);
			const bytes = storage === "f16" ? 2 : 4;
			const row = stride(numExperts);
			const data = random.vector(T * row);
			const words = (count: number) => bufferOf(gpu, 4 * count);
			const [scores, input] = [bufferOf(gpu, data), bufferOf(gpu, x.data)];
			const [routes, counts, ranks] = [
				words(2 * pairs),
				words(numExperts),
				words(pairs),
			];
			const [firstRows, tiles, places] = [
				words(numExperts),
				words(1 + rows / tile),
				words(pairs),
			];
			const gathered = bufferOf(gpu, rows * s * bytes);
			const before = random.vector(T * s);
			const residual = bufferOf(gpu, before);
			const sorting = { numExperts, topK, normalize: true };
			const kernel = routeTokens({
				...sorting,
				split: null,
				bias: false,
				isSorted: true,
			});
			for (let round = 0; round < 2; round++) {
				await runKernel(gpu, kernel, [scores, routes, counts, ranks], [T]);
				await runKernel(
					gpu,
					placeExperts({ numExperts, tile }),
					[counts, firstRows, tiles],
					[1],
				);
				await runKernel(
					gpu,
					gatherRows({ width, storage, topK }),
					[input, routes, ranks, firstRows, places, gathered],
					[T, topK],
				);
			}
			const options = { width, storage, topK, scale: 0.5, isSorted: true };
			await runKernel(
				gpu,
				combineExperts(options),
				[gathered, routes, places, residual],
				[T],
			);
			const placed = await readWords(places);
			const chosen = await readWords(routes);
			const tileExperts = await readWords(tiles);
			assert.equal(new Set(placed.subarray(0, pairs)).size, pairs);
			for (let p = 0; p < pairs; p++) {
				const at = Math.floor(placed[p] / tile);
				assert.ok(at < tileExperts[0] && tileExperts[0] <= rows / tile);
				assert.equal(tileExperts[1 + at], chosen[2 * p], `pair ${p}`);
			}
			// Every expert says what it was told, and weights add up to one.
			const got = new Float32Array(await readBack(gpu, residual));
			const want = before.map((value, i) => {
				const [t, d] = [Math.floor(i / s), i % s];
				return value + (d < width ? 0.5 * x.elements[t * width + d] : 0);
			});
			assertWithin(got, want, (i) => 1e-5 + 1e-5 * Math.abs(want[i]), "sum");
		});

interface Stack {
	readonly elements: readonly Float64Array[];
	readonly values: TestArray;
	readonly scales: Uint16Array | null;
	/** Padded as the matrices are. */
	readonly bias: Float32Array;
}

function concat<T extends TestArray>(arrays: readonly T[]): T {
	const [first] = arrays;
	const length = arrays.reduce((sum, array) => sum + array.length, 0);
	const all = new (first.constructor as new (length: number) => T)(length);
	arrays.forEach((array, i) => {
		all.set(array, i * first.length);
	});
	return all;
}

function stackOf(
	random: RandomSource,
	format: MatrixFormat,
	count: number,
	rows: number,
	columns: number,
): Stack {
	const all = Array.from({ length: count }, () =>
		randomMatrix(random, format, rows, columns),
	);
	const biases = all.map(() => {
		const padded = new Float32Array(paddedRows(rows));
		padded.set(random.vector(rows));
		return padded;
	});
	const scales = all.flatMap((m) => (m.scales ? [m.scales] : []));
	return {
		elements: all.map((m) => m.elements),
		values: concat(all.map((m) => m.values)),
		scales: scales.length > 0 ? concat(scales) : null,
		bias: concat(biases),
	};
}

interface ExpertCase {
	readonly shape: LinearShape;
	readonly kernel: Kernel;
	readonly grid: readonly [number, number, number?];
	/** Row of x and expert (among all) of each row of the output; null: that row is to stay as it was, undefined: it may be anything. */
	readonly rows: readonly (readonly [number, number] | null | undefined)[];
	/** The second input. */
	readonly experts: Uint32Array;
	readonly numInputs: number;
}

/** Runs the kernel over a stack of `total` experts of which the shape's are bound, and compares every row of the output. */
async function checkExperts(it: ExpertCase): Promise<void> {
	const { shape, kernel, rows, numInputs } = it;
	const { columns, format, storage, epilogue, outputStride } = shape;
	const { first, count } = shape.experts as NonNullable<LinearShape["experts"]>;
	const random = randomSource(shape.rows + columns);
	const stack = stackOf(random, format, count, shape.rows, columns);
	const x = randomActivation(random, storage, numInputs, columns);
	const outputRows = Math.ceil(rows.length / 128) * 128;
	const width = epilogue === "gated" ? shape.rows / 2 : shape.rows;
	const untouched = storage === "f16" ? 0x7e00 : NaN;
	const Words = storage === "f16" ? Uint16Array : Float32Array;
	// Padding may be left as it was, which is zero.
	const blank = new Words(outputRows * outputStride).map((_, i) =>
		i % outputStride < width ? untouched : 0,
	);
	const output = bufferOf(gpu, blank);
	await runKernel(
		gpu,
		kernel,
		[
			bufferOf(gpu, x.data),
			bufferOf(gpu, it.experts),
			bufferOf(gpu, stack.values),
			...(stack.scales ? [bufferOf(gpu, stack.scales)] : []),
			...(shape.bias ? [bufferOf(gpu, stack.bias)] : []),
			output,
		],
		it.grid as [number, number],
	);
	const got = readFloats(await readBack(gpu, output), storage);
	for (const [r, from] of rows.entries()) {
		const own = got.subarray(r * outputStride, (r + 1) * outputStride);
		if (from === undefined) continue;
		if (from === null) {
			const stays = own.subarray(0, width).every(Number.isNaN);
			assert.ok(stays, `${kernel.label}: row ${r} stays`);
			continue;
		}
		const [input, expert] = from;
		const w = stack.elements[expert - first];
		const bias = (expert - first) * paddedRows(shape.rows);
		const sizes: number[] = [];
		const y = Float32Array.from({ length: shape.rows }, (_, n) => {
			let sum = shape.bias ? stack.bias[bias + n] : 0;
			let size = Math.abs(sum);
			for (let k = 0; k < columns; k++) {
				const product = w[n * columns + k] * x.elements[input * columns + k];
				sum += product;
				size += Math.abs(product);
			}
			sizes[n] = size;
			return sum;
		});
		const want = epilogue === "gated" ? gated(y, shape.gating) : y;
		const rtol = storage === "f16" ? 2e-3 : 1e-5;
		const largest = Math.max(...sizes);
		assertWithin(
			own,
			want,
			(i) =>
				rtol *
				(Math.abs(want[i]) +
					(epilogue === "gated" ? 0.2 * largest * largest : 0.2 * sizes[i])),
			`${kernel.label} row ${r}`,
		);
		for (let i = width; i < outputStride; i++)
			assert.equal(own[i], 0, `${kernel.label}: padding ${i} of row ${r}`);
	}
}

/** Rows come as they lie: gates and ups by turns. */
function gated(
	y: Float32Array,
	gating: Gating = { kind: "gated", activation: "silu" },
): Float32Array {
	const width = y.length / 2;
	const apart = Float32Array.from(y, (_, i) =>
		i < width ? y[2 * i] : y[2 * (i - width) + 1],
	);
	const out = { data: new Float32Array(width), width };
	gate({ data: apart, width: 2 * width }, 1, gating, out);
	return out.data;
}

/** Experts 2, 3 and 4 of six. */
const SLICE = { first: 2, count: 3, total: 6 };
const WHOLE = { first: 0, count: 5, total: 5 };
const GATINGS: readonly (Gating | undefined)[] = [
	undefined,
	{ kind: "clamped_swiglu", limit: 0.7 },
	{ kind: "gated", activation: "gelu_tanh" },
];

function shapesOf(format: MatrixFormat, storage: Storage, i: number) {
	const [rows, columns] = [
		[34, 37],
		[130, 64],
		[256, 96],
	][i % 3];
	const base = { rows, columns, format, storage, bias: i % 2 === 0 };
	const experts = { ...(i % 2 === 0 ? SLICE : WHOLE), pairsPerRow: 1 };
	const up: LinearShape = {
		...base,
		epilogue: "gated",
		gating: GATINGS[i % 3],
		outputStride: stride(rows / 2),
		experts,
	};
	const down: LinearShape = {
		...base,
		epilogue: "store",
		outputStride: stride(rows),
		experts,
	};
	return [up, down];
}

const isBound = ({ experts }: LinearShape, expert: number) =>
	experts !== undefined &&
	expert >= experts.first &&
	expert < experts.first + experts.count;

/** Expert of each tile; the grid has a tile more, which is nobody's. */
const TILES = [2, 2, 3, 0, 4];

function tilesCase(
	shape: LinearShape,
	tile: number,
	kernel: Kernel,
	rowGroups: number,
): ExpertCase {
	const rows = [...TILES, null].flatMap((expert, i) =>
		Array.from({ length: tile }, (_, r) => {
			if (expert === null || !isBound(shape, expert)) return null;
			return r < tile - 3 ? ([i * tile + r, expert] as const) : undefined;
		}),
	);
	return {
		shape,
		kernel,
		rows,
		experts: Uint32Array.from([TILES.length, ...TILES, 3]),
		grid: [TILES.length + 1, rowGroups],
		numInputs: (TILES.length + 1) * tile,
	};
}

for (const [i, format] of (["f16", "f32", "q8_0", "q4_0"] as const).entries())
	for (const storage of ["f16", "f32"] as const)
		test(`experts' matrices pair by pair, ${format}, ${storage}`, async () => {
			const experts = [2, 3, 0, 4, 4, 3];
			const routes = Uint32Array.from(experts.flatMap((e) => [e, 7]));
			for (const shape of shapesOf(format, storage, i)) {
				const pairsPerRow = shape.epilogue === "gated" ? 2 : 1;
				const own = { ...shape.experts, pairsPerRow };
				const paired = { ...shape, experts: own } as LinearShape;
				const { kernel, rowGroups } = pairKernel(gpu.abilities, paired, null);
				await checkExperts({
					shape: paired,
					kernel,
					rows: experts.map((expert, p) =>
						isBound(shape, expert)
							? [Math.floor(p / pairsPerRow), expert]
							: null,
					),
					experts: routes,
					grid: [rowGroups, experts.length],
					numInputs: experts.length / pairsPerRow,
				});
			}
		});

for (const [i, format] of (["f32", "f16", "q8_0", "q4_0"] as const).entries())
	test(`experts' matrices in register tiles, ${format}`, async () => {
		const tile = { tokens: 32, rows: 64, threadTokens: 4, threadRows: 4 };
		for (const shape of shapesOf(format, i % 2 === 0 ? "f16" : "f32", i)) {
			const [, rowGroups] = tilesGrid(shape, tile, tile.tokens);
			const kernel = linearTiles(shape, tile);
			await checkExperts(tilesCase(shape, tile.tokens, kernel, rowGroups));
		}
	});

const MATRIX_TILE: MatrixTile = {
	subgroups: [1, 2, 1],
	matrices: [1, 2],
	slab: 32,
	buffers: 1,
	ahead: 1,
};

for (const isEmulated of [true, false])
	for (const [i, format] of (["f16", "q8_0", "q4_0"] as const).entries())
		test(`experts' matrices in ${isEmulated ? "emulated " : ""}subgroup matrices, ${format}`, async (t) => {
			if (!isEmulated && !gpu.abilities.subgroupMatrix) {
				t.skip(`${gpu.description}: no subgroup matrices`);
				return;
			}
			for (const shape of shapesOf(format, "f16", i)) {
				const written = linearMatrix(shape, MATRIX_TILE);
				const kernel = isEmulated ? emulated(written) : written;
				const { tokens } = tileSizes(shape, MATRIX_TILE);
				const [, rowGroups] = matrixGrid(shape, MATRIX_TILE, tokens);
				await checkExperts(tilesCase(shape, tokens, kernel, rowGroups));
			}
		});
