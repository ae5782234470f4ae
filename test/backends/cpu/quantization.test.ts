/** Numbers in and out of the kernels' formats: f16, bf16, q8_0, q4_0 bit by bit, and the exponential. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FORMATS, PANEL_COLUMNS } from "../../../src/backends/cpu/format.ts";
import { type RandomSource, randomSource } from "../../support/random.ts";
import { eachBuild, packWeights, type Room } from "./kernel-room.ts";
import {
	BLOCK,
	type QuantizedFormat,
	quantizeRow,
} from "./plain-quantization.ts";

/** Blocks that have gone wrong in quantizers: what they are for, and 32 values. */
const hardBlocks: [string, (i: number, random: RandomSource) => number][] = [
	["zeros", () => 0],
	["negative zeros", () => -0],
	["one value", (i) => (i === 7 ? 3.25 : 0)],
	["one negative value", (i) => (i === 31 ? -0.1 : 0)],
	["largest is negative", (i) => (i === 3 ? -9 : i % 5)],
	["largest twice, both signs", (i) => (i === 3 ? -9 : i === 4 ? 9 : i / 7)],
	["largest twice, positive first", (i) => (i === 3 ? 9 : i === 4 ? -9 : 0.5)],
	["all equal", () => 0.7],
	["all equal and negative", () => -0.7],
	["halves of a quantum", (i) => (i === 0 ? 127 : i - 15.5)],
	["just below a half", (i) => (i === 0 ? 127 : 0.49999997 - i)],
	[
		"just below a half, small",
		(i) =>
			i === 0 ? 127 : i === 1 ? 0.49999997 : i === 2 ? -0.49999997 : i / 9,
	],
	["scale is a subnormal f16", (i) => (i - 16) * 1e-5],
	["scale is the least f16", (i) => (i - 16) * 6e-7],
	["scale vanishes in f16", (i) => (i - 16) * 1e-9],
	["large", (i) => (i - 15) * 1e4],
	["outlier", (i, random) => (i === 11 ? 400 : random.normal())],
	["spread over magnitudes", (i) => (i % 2 === 0 ? 1 : -1) * 2 ** (i - 20)],
];

const f16Bits = (x: number) => new Uint16Array(Float16Array.of(x).buffer)[0];

eachBuild((room) => {
	for (const format of ["q8_0", "q4_0"] as const)
		test(`${format}: packed and unpacked, scales and integers are ggml's`, () => {
			const random = randomSource(1);
			for (const columns of [1, 31, 32, 33, 100]) {
				const rows = hardBlocks.map(([, value]) =>
					Float32Array.from({ length: columns }, (_, i) =>
						value(i % BLOCK, random),
					),
				);
				for (let r = 0; r < 200; r++) {
					const scale = 10 ** (random.uniform() * 8 - 5);
					rows.push(random.vector(columns, 8).map((x) => x * scale));
				}
				for (const [r, got] of unpacked(room, format, rows).entries()) {
					// A small integer times an f16 is exact in f32: equal values are equal integers and scales.
					const want = quantizeRow(rows[r], format).values;
					const name = hardBlocks[r]?.[0] ?? `random row ${r}`;
					assert.deepEqual(got, want, `${name}, ${columns} columns`);
				}
			}
		});

	test("f16 → f32: all finite patterns exact, the others beyond f16's range", () => {
		const patterns = Uint16Array.from({ length: 65536 }, (_, i) => i);
		const want = new Float16Array(patterns.buffer);
		room.reset();
		// A [65536 × 1] matrix of weights: its values one by one, and as products with 1.
		const source = room.put(patterns, "u16");
		const { panelStep, groupStep, id } = FORMATS.f16;
		const numPanels = 65536 / PANEL_COLUMNS;
		const w = room.take(numPanels * panelStep);
		room.kernels.pack_rows(id, source, 2, 65536, 0, 1, w, panelStep, 1);
		const group = room.put(new Float32Array(groupStep / 4).fill(1));
		const tile = room.take(1024);
		const target = room.take(32);
		for (const numRows of [1, 4]) {
			const y = room.take(numRows * 65536 * 4);
			room.kernels.linear(
				id,
				group,
				groupStep,
				numRows,
				w,
				panelStep,
				0,
				numPanels,
				1,
				0,
				1,
				y,
				65536,
				0,
				tile,
			);
			const products = room.f32(y, numRows * 65536);
			for (let i = 0; i < 65536; i++) {
				const panel = w + Math.floor(i / PANEL_COLUMNS) * panelStep;
				room.kernels.unpack(id, panel, 1, i % PANEL_COLUMNS, target);
				const [one] = room.f32(target, 1);
				const two = products[(numRows - 1) * 65536 + i];
				const name = `0x${i.toString(16)}: ${one}, ${two}, not ${want[i]}`;
				if (Number.isFinite(want[i]))
					// 0 + x · 1: a sum has no −0.
					assert.ok(Object.is(one, want[i]) && two === want[i], name);
				else assert.ok(!(Math.abs(one) < 65536 || Math.abs(two) < 65536), name);
			}
		}
	});

	for (const [type, dtype] of [
		[1, "f16"],
		[2, "bf16"],
	] as const)
		test(`f32 → ${dtype}: to nearest, ties to even`, () => {
			const random = randomSource(3);
			const values = roundingCases(random, dtype);
			room.reset();
			const from = room.put(values);
			const to = room.take(values.length * 2);
			// One by one: where the elements of a longer row lie is the cache's own affair.
			for (let i = 0; i < values.length; i++)
				room.kernels.write_cache(type, from + i * 4, 1, to + i * 2);
			const got = room.u16(to, values.length);
			for (const [i, value] of values.entries()) {
				const want = dtype === "f16" ? f16Bits(value) : bfloatBits(value);
				assert.equal(got[i], want, `${value}`);
			}
		});

	test("exp4: within 3e-7 of e^x, down into the subnormals, and at its ends", () => {
		const random = randomSource(4);
		const inputs: number[] = [];
		for (let x = -105; x <= 88.7; x += 0.00371) inputs.push(x);
		for (let i = 0; i < 4000; i++) inputs.push(random.normal() * 1e-3);
		for (let n = -150; n <= 127; n++)
			for (const off of [-1e-5, 0, 1e-5, 0.5, 0.4999, 0.5001])
				inputs.push((n + off) * Math.LN2);
		while (inputs.length % 4 !== 0) inputs.push(0);
		const got = exp4(room, inputs);
		let worst = 0;
		for (const [i, input] of inputs.entries()) {
			const x = Math.fround(input);
			const want = Math.exp(x);
			const error = Math.abs(got[i] - want);
			// Below the normal numbers the distance of two of them.
			const bound = Math.max(3e-7 * want, 1.41e-45);
			if (want > 1.2e-38) worst = Math.max(worst, error / want);
			assert.ok(error <= bound, `e^${x}: ${got[i]}, not ${want}`);
		}
		assert.ok(worst > 0, "something was compared");
	});

	test("exp4: edge values", () => {
		const [below, least, zero, minusZero, large, larger, nan, inf] = exp4(
			room,
			[-Infinity, -104, 0, -0, 88, 1000, Number.NaN, Infinity],
		);
		assert.equal(below, 0);
		assert.equal(least, 0);
		assert.equal(zero, 1);
		assert.equal(minusZero, 1);
		assert.ok(Math.abs(large / Math.exp(88) - 1) < 3e-7, `${large}`);
		assert.ok(larger > 3e38 && Number.isFinite(larger), `${larger}`);
		assert.ok(Number.isNaN(nan), "NaN stays NaN");
		assert.ok(inf > 3e38, `${inf}`);
	});
});

/** Packs rows and brings them back. */
function unpacked(
	room: Room,
	format: QuantizedFormat,
	rows: readonly Float32Array[],
): Float32Array[] {
	room.reset();
	const packed = packWeights(room, format, rows);
	const target = room.take(packed.depth * BLOCK * 4);
	return rows.map((_, r) => {
		const panel =
			packed.address + Math.floor(r / PANEL_COLUMNS) * packed.panelBytes;
		const column = r % PANEL_COLUMNS;
		const { id } = FORMATS[format];
		room.kernels.unpack(id, panel, packed.depth, column, target);
		return room.f32(target, rows[0].length).slice();
	});
}

function exp4(room: Room, inputs: number[]): Float32Array {
	room.reset();
	const x = room.put(inputs);
	const out = room.take(inputs.length * 4);
	room.kernels.exp4_test(x, inputs.length, out);
	return room.f32(out, inputs.length).slice();
}

/** Every f16 or many bf16 neighbours, the middles between them, and what lies just beside the middles. */
function roundingCases(
	random: RandomSource,
	dtype: "f16" | "bf16",
): Float32Array {
	const cases: number[] = [
		0, -0, 65504, 65519.99, 65520, 65536, -65520, 1e-8, -3e-8, 1e10,
	];
	const value = (pattern: number) =>
		dtype === "f16"
			? new Float16Array(Uint16Array.of(pattern).buffer)[0]
			: new Float32Array(Uint32Array.of(pattern << 16).buffer)[0];
	const last = dtype === "f16" ? 0x7bff : 0x7f7e;
	for (let pattern = 0; pattern < last; pattern++) {
		const low = value(pattern);
		const middle = (low + value(pattern + 1)) / 2;
		const near = middle * 2 ** -20;
		const sign = random.uniform() < 0.5 ? -1 : 1;
		cases.push(
			sign * low,
			sign * middle,
			sign * (middle + near),
			sign * (middle - near),
		);
	}
	return Float32Array.from(cases);
}

function bfloatBits(value: number): number {
	const [u] = new Uint32Array(Float32Array.of(value).buffer);
	const low = u & 0xffff;
	const high = u >>> 16;
	if (low === 0x8000) return high + (high & 1);
	return low > 0x8000 ? high + 1 : high;
}
