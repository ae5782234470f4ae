/** The kernels of adapters alone: many slots in one dispatch, ranks below the room, tiles that are not full, targets that begin anywhere. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import { gate, gateGrid } from "../../../src/backends/webgpu/kernels/gate.ts";
import {
	loraExpand,
	loraExpandGrid,
} from "../../../src/backends/webgpu/kernels/lora-expand.ts";
import {
	loraShrink,
	loraShrinkGrid,
} from "../../../src/backends/webgpu/kernels/lora-shrink.ts";
import { type Storage, stride } from "../../../src/backends/webgpu/layout.ts";
import {
	float16ToFloat32,
	float32ToFloat16,
} from "../../../src/weights/convert.ts";
import { randomSource } from "../../support/random.ts";
import {
	bufferOf,
	openTestGpu,
	readBack,
	runKernel,
} from "../../support/webgpu.ts";

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

/** Rows padded with zeros, as `storage` rounds them, and a buffer of them. */
function stored(values: Float32Array, width: number, storage: Storage) {
	const rows = values.length / width;
	const s = stride(width);
	const padded = new Float32Array(rows * s);
	for (let r = 0; r < rows; r++)
		padded.set(values.subarray(r * width, (r + 1) * width), r * s);
	if (storage === "f32")
		return { values: padded, buffer: bufferOf(gpu, padded) };
	const halves = float32ToFloat16(padded).values;
	return { values: float16ToFloat32(halves), buffer: bufferOf(gpu, halves) };
}

async function read(
	buffer: GPUBuffer,
	storage: Storage,
): Promise<Float32Array> {
	const bytes = await readBack(gpu, buffer);
	return storage === "f32"
		? new Float32Array(bytes)
		: float16ToFloat32(new Uint16Array(bytes));
}

const near = (got: number, want: number, bound: number, where: string) =>
	assert.ok(
		Math.abs(got - want) <= bound * (1 + Math.abs(want)),
		`${where}: ${got}, wanted ${want}`,
	);

interface Case {
	readonly width: number;
	readonly rank: number;
	readonly firstRows: readonly number[];
	readonly outputWidth: number;
	readonly tile: 1 | 16;
	readonly norm: boolean;
}

// biome-ignore format: a table
const CASES: readonly Case[] = [
	{ width: 1, rank: 1, firstRows: [0], outputWidth: 1, tile: 1, norm: false },
	{ width: 33, rank: 5, firstRows: [0, 7, 10], outputWidth: 13, tile: 16, norm: true },
	{ width: 128, rank: 16, firstRows: [0, 64, 96], outputWidth: 128, tile: 1, norm: true },
	{ width: 70, rank: 8, firstRows: [0, 59], outputWidth: 118, tile: 16, norm: false },
	{ width: 200, rank: 40, firstRows: [0], outputWidth: 300, tile: 16, norm: false },
];

/** Tokens of each slot: a tile and a bit, none, a few. */
const SLOT_TOKENS = [
	[20, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 0, 2, 4, 6, 8, 10],
	[],
	[14, 12, 18],
];
const NUM_TOKENS = 22;
const EPS = 1e-5;

for (const storage of ["f32", "f16"] as const)
	for (const each of CASES) {
		const { width, rank, firstRows, outputWidth, tile, norm } = each;
		test(`${storage}: ${width} → ${firstRows.length} · ${rank} → ${outputWidth}, tiles of ${tile}${norm ? ", normalised" : ""}`, async () => {
			const random = randomSource(width + rank);
			const rows = firstRows.length * rank;
			const ranks = [rank, rank, Math.ceil(rank / 2)];
			const input = norm ? "f32" : storage;
			const x = stored(random.vector(NUM_TOKENS * width, 5), width, input);
			const weight = stored(random.vector(width), width, "f32");
			const a = stored(random.vector(3 * rows * width), width, storage);
			const b = stored(
				random.vector(3 * rank * outputWidth),
				outputWidth,
				storage,
			);
			const y = stored(
				random.vector(NUM_TOKENS * outputWidth),
				outputWidth,
				storage,
			);
			const list = Uint32Array.from(SLOT_TOKENS.flat());
			const items: number[][] = [];
			let place = 0;
			SLOT_TOKENS.forEach((tokens, slot) => {
				for (let i = 0; i < tokens.length; i += tile) {
					const count = Math.min(tile, tokens.length - i);
					items.push([slot, place, count, ranks[slot]]);
					place += count;
				}
			});
			const itemBuffer = bufferOf(gpu, Uint32Array.from(items.flat()));
			const listBuffer = bufferOf(gpu, list);
			const small = bufferOf(
				gpu,
				new Float32Array(list.length * rows).fill(NaN),
			);
			const normEps = norm ? EPS : null;
			await runKernel(
				gpu,
				loraShrink({ width, rows, rank, input, storage, normEps, tile }),
				[
					itemBuffer,
					listBuffer,
					x.buffer,
					...(norm ? [weight.buffer] : []),
					a.buffer,
					small,
				],
				loraShrinkGrid(items.length, rows),
			);
			const scale = 0.5;
			await runKernel(
				gpu,
				loraExpand({
					width: outputWidth,
					firstRows,
					rank,
					output: storage,
					storage,
					scale,
					tile,
				}),
				[itemBuffer, listBuffer, small, b.buffer, y.buffer],
				loraExpandGrid(items.length, outputWidth),
			);
			const gotSmall = await read(small, "f32");
			const got = await read(y.buffer, storage);
			const s = stride(outputWidth);
			const wanted = y.values.slice();
			place = 0;
			SLOT_TOKENS.forEach((tokens, slot) => {
				for (const t of tokens) {
					const row = x.values.subarray(
						t * stride(width),
						(t + 1) * stride(width),
					);
					const square = row.reduce((sum, v) => sum + v * v, 0);
					const factor = norm ? 1 / Math.sqrt(square / width + EPS) : 1;
					const shrunk = Array.from({ length: rows }, (_, r) => {
						let sum = 0;
						for (let k = 0; k < width; k++) {
							const n = norm ? weight.values[k] : 1;
							sum +=
								a.values[(slot * rows + r) * stride(width) + k] * row[k] * n;
						}
						return sum * factor;
					});
					for (let r = 0; r < rows; r++) {
						if (r % rank >= ranks[slot]) continue;
						const where = `token ${t}, row ${r}`;
						near(gotSmall[place * rows + r], shrunk[r], 1e-4, where);
					}
					for (let o = 0; o < outputWidth; o++) {
						const target = firstRows.findLastIndex((first) => o >= first);
						let sum = 0;
						for (let r = 0; r < ranks[slot]; r++)
							sum +=
								b.values[(slot * rank + r) * s + o] * shrunk[target * rank + r];
						wanted[t * s + o] += scale * sum;
					}
					place++;
				}
			});
			const bound = storage === "f32" ? 1e-4 : 2e-3;
			wanted.forEach((want, i) => {
				near(
					got[i],
					want,
					bound,
					`token ${Math.floor(i / s)}, element ${i % s}`,
				);
			});
		});
	}

for (const storage of ["f32", "f16"] as const)
	for (const width of [1, 59, 64, 300])
		for (const activation of ["silu", "gelu_tanh"] as const)
			test(`gate_${activation}_${storage}_${width}`, async () => {
				const random = randomSource(width);
				const numTokens = 3;
				const x = stored(
					random.vector(numTokens * 2 * width, 3),
					2 * width,
					storage,
				);
				const s = stride(width);
				const output = bufferOf(gpu, new Float32Array(numTokens * s).fill(NaN));
				await runKernel(
					gpu,
					gate({ width, storage, activation }),
					[x.buffer, output],
					gateGrid(numTokens, width),
				);
				const got = await read(output, storage);
				for (let t = 0; t < numTokens; t++)
					for (let i = 0; i < s; i++) {
						const at = t * stride(2 * width) + i;
						const [g, up] = [x.values[at], x.values[at + width]];
						const cubic = Math.sqrt(2 / Math.PI) * (g + 0.044715 * g ** 3);
						const act =
							activation === "silu"
								? g / (1 + Math.exp(-g))
								: (g / 2) * (1 + Math.tanh(cubic));
						const want = i < width ? act * up : 0;
						near(
							got[t * s + i],
							want,
							storage === "f32" ? 1e-5 : 1e-3,
							`${t}, ${i}`,
						);
					}
			});
