/** What kernels do with finished sums: gates of every kind, biases, scales, soft caps, rows added with a norm; called directly. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FORMATS, groupBytes } from "../../../src/backends/cpu/format.ts";
import { GATING } from "../../../src/backends/cpu/kernels.ts";
import { randomSource } from "../../support/random.ts";
import {
	assertClose,
	eachBuild,
	packWeights,
	type Room,
} from "./kernel-room.ts";

/** K × N: one, primes, just over and under a panel, as in a model. */
const SHAPES = [
	[1, 1],
	[7, 5],
	[33, 15],
	[32, 17],
	[257, 131],
];
const LIMIT = 1.5;

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const JOINS = {
	silu: (g, u) => g * sigmoid(g) * u,
	gelu_tanh: (g, u) => {
		const inner = Math.sqrt(2 / Math.PI) * (g + 0.044715 * g ** 3);
		return (g / 2) * (1 + Math.tanh(inner)) * u;
	},
	clamped_swiglu: (g, u) => {
		const gate = Math.min(g, LIMIT);
		const up = Math.max(-LIMIT, Math.min(u, LIMIT));
		return (up + 1) * gate * sigmoid(1.702 * gate);
	},
} satisfies Record<keyof typeof GATING, (gate: number, up: number) => number>;

eachBuild((room) => {
	for (const [name, join] of Object.entries(JOINS))
		test(`gated_linear, ${name}, with and without bias`, () => {
			const random = randomSource(20);
			for (const [width, columns] of SHAPES)
				for (const numRows of [1, 2, 5, 130])
					for (const biased of [false, true])
						checkGated(room, name as keyof typeof GATING, join, {
							width,
							columns,
							numRows,
							bias: biased ? random.vector(2 * columns, 5) : null,
							random,
						});
		});

	test("gates far from zero, near it, and NaN", () => {
		const gates = [-1e6, -1e4, -88, -0, 0, 1e-30, 88, 1e4, Number.NaN];
		for (const [name, join] of Object.entries(JOINS)) {
			const rows = gates.map((g) => Float32Array.of(g));
			const ups = gates.map(() => Float32Array.of(1));
			room.reset();
			const out = gated(room, name as keyof typeof GATING, rows, ups, [
				Float32Array.of(1),
			]);
			for (const [i, g] of gates.entries()) {
				const want = join(g, 1);
				const where = () => `${name} of ${g}`;
				if (Number.isNaN(g)) assert.ok(Number.isNaN(out[i]), where());
				else assertClose(out[i], want, 1e-6 * Math.abs(want) + 1e-30, where);
			}
		}
	});

	test("soft_cap: within 3e-7 of cap · tanh(x / cap), any length", () => {
		const random = randomSource(21);
		for (const n of [1, 3, 4, 7, 64, 129])
			for (const cap of [0.5, 30, 50])
				for (const scale of [1e-6, 0.1, 1, 30, 1e5]) {
					const x = random.vector(n, 10).map((v) => v * scale);
					room.reset();
					const at = room.put(x);
					room.kernels.soft_cap(at, n, cap);
					assert.equal(room.i32(at + n * 4, 1)[0], -1, "wrote too far");
					for (const [i, got] of room.f32(at, n).entries()) {
						const want = cap * Math.tanh(x[i] / cap);
						const bound = 3e-7 * Math.abs(want) + 1e-30;
						assertClose(got, want, bound, () => `${x[i]} capped at ${cap}`);
					}
				}
		room.reset();
		const at = room.put([Number.NaN, Infinity, -Infinity, -0]);
		room.kernels.soft_cap(at, 4, 2);
		const [nan, high, low, zero] = room.f32(at, 4);
		assert.ok(Number.isNaN(nan));
		assert.deepEqual([high, low, Math.abs(zero)], [2, -2, 0]);
	});

	test("add_rows: y += scale · x, x as it is or normalised", () => {
		const random = randomSource(22);
		for (const width of [1, 3, 4, 7, 33, 130])
			for (const scale of [1, 0.22, -3])
				for (const weight of [null, random.vector(width)]) {
					const rows = 5;
					const x = random.vector(rows * width, 9);
					const y = random.vector(rows * width);
					room.reset();
					const [from, to] = [room.put(x), room.put(y)];
					const norm = weight ? room.put(weight) : 0;
					for (const [start, end] of [
						[2, 5],
						[0, 2],
					])
						room.kernels.add_rows(
							from,
							width,
							start,
							end,
							norm,
							1e-5,
							scale,
							to,
						);
					assert.equal(room.i32(to + y.length * 4, 1)[0], -1, "too far");
					for (const [i, got] of room.f32(to, y.length).entries()) {
						const row = Math.floor(i / width) * width;
						const squares = x
							.subarray(row, row + width)
							.reduce((sum, v) => sum + v * v, 0);
						const rms = Math.sqrt(squares / width + 1e-5);
						const value = weight ? (x[i] / rms) * weight[i - row] : x[i];
						const want = y[i] + scale * value;
						const size = Math.abs(y[i]) + Math.abs(scale * value);
						assertClose(got, want, 2e-6 * size, () => `${width}, ${i}`);
					}
				}
	});

	test("linear and embed scale what they make; 1 changes no bit", () => {
		const random = randomSource(23);
		const [width, columns] = [33, 17];
		const weights = Array.from({ length: columns }, () => random.vector(width));
		const x = random.vector(width);
		const bias = random.vector(columns);
		const before = random.vector(columns);
		const run = (scale: number, accumulate: number) => {
			room.reset();
			const packed = packWeights(room, "f32", weights);
			const group = prepared(room, [x]);
			const y = room.put(before);
			room.kernels.linear(
				FORMATS.f32.id,
				group,
				groupBytes("f32", width),
				1,
				packed.address,
				packed.panelBytes,
				0,
				2,
				packed.depth,
				room.put(bias),
				scale,
				y,
				columns,
				accumulate,
				room.take(512),
			);
			return room.f32(y, columns).slice();
		};
		const [plain, half, added] = [run(1, 0), run(0.5, 0), run(-0.25, 1)];
		for (let n = 0; n < columns; n++) {
			assert.equal(half[n], plain[n] / 2);
			assert.equal(added[n], Math.fround(before[n] - plain[n] / 4));
		}
		room.reset();
		const packed = packWeights(room, "f32", weights);
		const ids = room.put([16, 0], "i32");
		const [scratch, output] = [room.take(256), room.take(2 * width * 4)];
		const at = [packed.address, packed.panelBytes, packed.depth] as const;
		const { id } = FORMATS.f32;
		room.kernels.embed(id, ...at, ids, 0, 2, 1.7, scratch, output, width);
		const scale = Math.fround(1.7);
		for (const [i, got] of room.f32(output, 2 * width).entries()) {
			const row = weights[i < width ? 16 : 0];
			assert.equal(got, Math.fround(row[i % width] * scale));
		}
	});
});

/** Rows of x in groups of f32. */
function prepared(room: Room, x: readonly Float32Array[]): number {
	const width = x[0].length;
	const bytes = groupBytes("f32", width);
	const groups = room.take(Math.ceil(x.length / 4) * bytes);
	room.kernels.prepare_rows(
		FORMATS.f32.id,
		room.put(x.flatMap((row) => Array.from(row))),
		width,
		0,
		0,
		0,
		x.length,
		0,
		0,
		width,
		room.take(width * 4),
		groups,
		bytes,
	);
	return groups;
}

/** f32 [rows of x][rows of gate] */
function gated(
	room: Room,
	gating: keyof typeof GATING,
	gate: readonly Float32Array[],
	up: readonly Float32Array[],
	x: readonly Float32Array[],
	bias: Float32Array | null = null,
): Float32Array {
	const [columns, numRows] = [gate.length, x.length];
	const packed = packWeights(room, "f32", gate, { step: 2 });
	const address = packed.address + packed.panelBytes;
	packWeights(room, "f32", up, { step: 2, address });
	const groups = prepared(room, x);
	const out = room.take(numRows * columns * 4);
	room.kernels.gated_linear(
		FORMATS.f32.id,
		groups,
		groupBytes("f32", x[0].length),
		numRows,
		packed.address,
		packed.panelBytes,
		0,
		Math.ceil(columns / 16),
		packed.depth,
		bias ? room.put(bias) : 0,
		GATING[gating],
		LIMIT,
		out,
		columns,
		room.take(512),
	);
	assert.equal(room.i32(out + numRows * columns * 4, 1)[0], -1, "too far");
	return room.f32(out, numRows * columns);
}

function checkGated(
	room: Room,
	gating: keyof typeof GATING,
	join: (gate: number, up: number) => number,
	{
		width,
		columns,
		numRows,
		bias,
		random,
	}: {
		readonly width: number;
		readonly columns: number;
		readonly numRows: number;
		readonly bias: Float32Array | null;
		readonly random: ReturnType<typeof randomSource>;
	},
): void {
	const vectors = (n: number, scale: number) =>
		Array.from({ length: n }, () =>
			random.vector(width, 3).map((v) => v * scale),
		);
	const [gate, up] = [
		vectors(columns, 2 / Math.sqrt(width)),
		vectors(columns, 1 / Math.sqrt(width)),
	];
	const x = vectors(numRows, 1);
	room.reset();
	const got = gated(room, gating, gate, up, x, bias);
	const product = (a: Float32Array, b: Float32Array) =>
		a.reduce((sum, v, i) => sum + v * b[i], 0);
	for (let t = 0; t < numRows; t++)
		for (let n = 0; n < columns; n++) {
			const g = product(x[t], gate[n]) + (bias?.[n] ?? 0);
			const u = product(x[t], up[n]) + (bias?.[columns + n] ?? 0);
			const want = join(g, u);
			const bound = 2e-5 * (1 + Math.abs(g)) * (1 + Math.abs(u));
			const where = () =>
				`[${width} × ${columns}] row ${t} of ${numRows}, column ${n}: gate ${g}, up ${u}`;
			assertClose(got[t * columns + n], want, bound, where);
		}
}
