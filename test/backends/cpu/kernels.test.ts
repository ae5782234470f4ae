/** The linear kernels of every weight format, called directly in both builds, against plain loops in f64 over the dequantized weights. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
	FORMATS,
	GROUP_ROWS,
	groupBytes,
	isQuantized,
	PANEL_COLUMNS,
	type WeightFormat,
} from "../../../src/backends/cpu/format.ts";
import { GATING } from "../../../src/backends/cpu/kernels.ts";
import { randomSource } from "../../support/random.ts";
import {
	assertClose,
	eachBuild,
	type PackedWeights,
	packWeights,
	type Room,
	stored,
} from "./kernel-room.ts";
import { BLOCK, quantizeRow } from "./plain-quantization.ts";

const WEIGHT_FORMATS = ["f32", "f16", "bf16", "q8_0", "q4_0"] as const;
const ROW_COUNTS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 129];
/** K × N: one, primes, just over and under 8, 16, 32 and 128. */
const SHAPES = [
	[1, 1],
	[7, 5],
	[8, 8],
	[9, 9],
	[31, 17],
	[32, 16],
	[33, 15],
	[65, 33],
	[129, 130],
	[601, 23],
];

const dequantized = (row: Float32Array, format: WeightFormat) =>
	format === "q8_0" || format === "q4_0"
		? quantizeRow(row, format).values
		: stored(row, format);

/** Largest integer the kernels round an activation to: of q8_0 int16's, or int8's where the engine multiplies eight bits by eight. */
function stepsOf(room: Room, format: WeightFormat): number {
	if (!isQuantized(format)) return Number.NaN;
	const group = prepare(room, format, [Float32Array.of(1, 0)]);
	const [first] = room.u16(group, 1);
	assert.ok(first === 127 || (format === "q8_0" && first === 32767));
	return first;
}

/** x as the format's kernels take it: blocks of integers and a scale, or itself. */
function rounded(
	x: Float32Array,
	format: WeightFormat,
	steps: number,
): Float64Array {
	const result = Float64Array.from(x);
	if (!isQuantized(format)) return result;
	for (let start = 0; start < x.length; start += BLOCK) {
		const block = x.subarray(start, start + BLOCK);
		const largest = block.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
		const inverse = largest > 0 ? Math.fround(steps / largest) : 0;
		const scale = Math.fround(largest / steps);
		for (const [i, value] of block.entries())
			result[start + i] = scale * toEven(Math.fround(value * inverse));
	}
	return result;
}

function toEven(x: number): number {
	const low = Math.floor(x);
	if (x - low !== 0.5) return Math.round(x);
	return low % 2 === 0 ? low : low + 1;
}

interface Product {
	/** Σ x·w */
	readonly value: number;
	/** Σ |x·w|: what rounding errors are in proportion to. */
	readonly size: number;
}

function product(x: ArrayLike<number>, w: Float32Array): Product {
	let value = 0;
	let size = 0;
	for (let k = 0; k < w.length; k++) {
		value += x[k] * w[k];
		size += Math.abs(x[k] * w[k]);
	}
	return { value, size };
}

/** Half a unit of f32 for every one of the K additions, at worst; and what is left where all is zero. */
const roundingBound = (size: number, terms: number) =>
	2 ** -24 * (terms + 8) * size + 1e-30;

/** Rows of x into groups, in two calls that meet where no group ends, as two threads would. */
function prepare(
	room: Room,
	format: WeightFormat,
	x: readonly Float32Array[],
	options: { indices?: number[]; norm?: Float32Array; eps?: number } = {},
): number {
	const width = x[0].length;
	const depth = isQuantized(format) ? Math.ceil(width / BLOCK) : width;
	const numRows = options.indices?.length ?? x.length;
	const bytes = groupBytes(format, width);
	const groups = room.take(Math.ceil(numRows / GROUP_ROWS) * bytes);
	const source = room.put(x.flatMap((row) => Array.from(row)));
	const rows = options.indices ? room.put(options.indices, "i32") : 0;
	const norm = options.norm ? room.put(options.norm) : 0;
	const scratch = room.take((width + BLOCK) * 4);
	const middle = Math.min(numRows, Math.floor(numRows / 2) + 1);
	for (const [start, end] of [
		[middle, numRows],
		[0, middle],
	])
		room.kernels.prepare_rows(
			FORMATS[format].id,
			source,
			width,
			rows,
			0,
			start,
			end,
			norm,
			options.eps ?? 0,
			depth,
			scratch,
			groups,
			bytes,
		);
	return groups;
}

interface LinearCall {
	readonly format: WeightFormat;
	readonly numRows: number;
	readonly width: number;
	readonly columns: number;
	readonly groups: number;
	readonly packed: PackedWeights;
}

/** The whole output, in two calls that share the panels between them; NaN where nothing wrote. */
function linear(
	room: Room,
	{ format, numRows, width, columns, groups, packed }: LinearCall,
	options: { bias?: Float32Array; addTo?: Float32Array } = {},
): Float32Array {
	const y = room.take(numRows * columns * 4);
	if (options.addTo) room.f32(y, numRows * columns).set(options.addTo);
	const bias = options.bias ? room.put(options.bias) : 0;
	const tile = room.take(2048);
	const numPanels = Math.ceil(columns / PANEL_COLUMNS);
	const middle = Math.floor(numPanels / 2);
	for (const [start, end] of [
		[0, middle],
		[middle, numPanels],
	])
		room.kernels.linear(
			FORMATS[format].id,
			groups,
			groupBytes(format, width),
			numRows,
			packed.address,
			packed.panelBytes,
			start,
			end,
			packed.depth,
			bias,
			1,
			y,
			columns,
			options.addTo ? 1 : 0,
			tile,
		);
	assertUntouched(room, y + numRows * columns * 4);
	return room.f32(y, numRows * columns);
}

const sameBits = (a: Float32Array, b: Float32Array) =>
	Buffer.compare(
		new Uint8Array(a.buffer, a.byteOffset, a.byteLength),
		new Uint8Array(b.buffer, b.byteOffset, b.byteLength),
	) === 0;

/** The room fills memory with ones: the word behind an array is one still. */
function assertUntouched(room: Room, end: number): void {
	assert.equal(room.i32(end, 1)[0], -1, "a kernel wrote behind its output");
}

eachBuild((room) => {
	for (const format of WEIGHT_FORMATS)
		test(`linear_${format}: store, bias, add; rows and tiles`, () => {
			const random = randomSource(5);
			const steps = stepsOf(room, format);
			for (const [width, columns] of SHAPES) {
				const rows = Array.from({ length: columns }, () =>
					random.vector(width, 12),
				);
				const weights = rows.map((row) => dequantized(row, format));
				const bias = random.vector(columns);
				for (const numRows of ROW_COUNTS) {
					const x = Array.from({ length: numRows }, () =>
						random.vector(width, 30),
					);
					room.reset();
					const packed = packWeights(room, format, rows);
					const groups = prepare(room, format, x);
					const call = { format, numRows, width, columns, groups, packed };
					const before = random.vector(numRows * columns);
					room.kernels.set_wide(1);
					const wide = linear(room, call).slice();
					room.kernels.set_wide(0);
					const plain = linear(room, call);
					// Which width is faster is a matter of the machine and the moment; the bits must not be.
					assert.ok(
						sameBits(wide, plain),
						"wide and narrow tiles give the same bits",
					);
					const biased = linear(room, call, { bias });
					const added = linear(room, call, { bias, addTo: before });
					for (let t = 0; t < numRows; t++) {
						const exact = rounded(x[t], format, steps);
						for (let n = 0; n < columns; n++) {
							const { value, size } = product(exact, weights[n]);
							const at = t * columns + n;
							const close = (got: number, want: number, what: string) => {
								const all = size + Math.abs(want - value);
								const where = () =>
									`${what} [${width} × ${columns}] row ${t} of ${numRows}, column ${n}`;
								assertClose(got, want, roundingBound(all, width), where);
							};
							close(plain[at], value, "store");
							close(biased[at], value + bias[n], "bias");
							close(added[at], value + bias[n] + before[at], "add");
						}
					}
				}
			}
		});

	for (const format of WEIGHT_FORMATS)
		test(`gated_linear_${format}: silu(gate) · up`, () => {
			const random = randomSource(6);
			const steps = stepsOf(room, format);
			for (const [width, columns] of SHAPES) {
				// Gate and up panels alternate, as load-weights.ts packs them.
				const make = () =>
					Array.from({ length: columns }, () =>
						random.vector(width).map((w) => (3 * w) / Math.sqrt(width)),
					);
				const [gate, up] = [make(), make()];
				const [gateWeights, upWeights] = [gate, up].map((rows) =>
					rows.map((row) => dequantized(row, format)),
				);
				for (const numRows of [1, 2, 4, 7, 129]) {
					const x = Array.from({ length: numRows }, () =>
						random.vector(width, 5),
					);
					room.reset();
					const packed = packWeights(room, format, gate, { step: 2 });
					const address = packed.address + packed.panelBytes;
					packWeights(room, format, up, { step: 2, address });
					const groups = prepare(room, format, x);
					const out = room.take(numRows * columns * 4);
					const tile = room.take(2048);
					room.kernels.gated_linear(
						FORMATS[format].id,
						groups,
						groupBytes(format, width),
						numRows,
						packed.address,
						packed.panelBytes,
						0,
						Math.ceil(columns / PANEL_COLUMNS),
						packed.depth,
						0,
						GATING.silu,
						0,
						out,
						columns,
						tile,
					);
					assertUntouched(room, out + numRows * columns * 4);
					const y = room.f32(out, numRows * columns);
					for (let t = 0; t < numRows; t++) {
						const exact = rounded(x[t], format, steps);
						for (let n = 0; n < columns; n++) {
							const g = product(exact, gateWeights[n]);
							const u = product(exact, upWeights[n]);
							const silu = g.value / (1 + Math.exp(-g.value));
							const want = silu * u.value;
							const bound =
								1e-6 * Math.abs(want) +
								1.2 * roundingBound(g.size, width) * Math.abs(u.value) +
								roundingBound(u.size, width) * Math.abs(silu) +
								1e-30;
							const got = y[t * columns + n];
							const where = () =>
								`[${width} × ${columns}] row ${t} of ${numRows}, column ${n}`;
							assertClose(got, want, bound, where);
						}
					}
				}
			}
		});

	for (const format of WEIGHT_FORMATS)
		test(`prepare_rows for ${format}: RMSNorm, chosen rows, rows of zeros and tiny rows`, () => {
			const random = randomSource(7);
			const steps = stepsOf(room, format);
			for (const [width, columns] of SHAPES) {
				const rows = Array.from({ length: columns }, () =>
					random.vector(width),
				);
				const weights = rows.map((row) => dequantized(row, format));
				const norm = random.vector(width);
				const eps = 1e-5;
				const x = [
					random.vector(width, 100),
					new Float32Array(width),
					random.vector(width).map((v) => v * 1e-20),
					random.vector(width).map((v) => v * 1e-42),
					random.vector(width).map((v) => v * 1e6),
					random.vector(width),
				];
				const indices = [5, 0, 3, 3, 1, 4, 2];
				room.reset();
				const packed = packWeights(room, format, rows);
				for (const weight of [undefined, norm]) {
					const groups = prepare(room, format, x, {
						indices,
						norm: weight,
						eps,
					});
					const numRows = indices.length;
					const call = { format, numRows, width, columns, groups, packed };
					const y = linear(room, call);
					for (const [t, index] of indices.entries()) {
						const want =
							weight === undefined
								? Float64Array.from(x[index])
								: normed(x[index], weight, eps);
						for (let n = 0; n < columns; n++) {
							const { value, size } = product(want, weights[n]);
							const bound =
								roundingBound(size, 3 * width) +
								roundingOf(want, weights[n], format, steps);
							const got = y[t * columns + n];
							const where = () =>
								`[${width} × ${columns}] row ${index}${weight ? ", normed" : ""}, column ${n}`;
							assertClose(got, value, bound, where);
						}
					}
				}
			}
		});

	test("embed: rows of every format, in any order", () => {
		const random = randomSource(8);
		for (const format of WEIGHT_FORMATS)
			for (const [width, vocab] of SHAPES) {
				const rows = Array.from({ length: vocab }, () =>
					random.vector(width, 9),
				);
				room.reset();
				const packed = packWeights(room, format, rows);
				const ids = Array.from({ length: 21 }, () => random.below(vocab));
				const idsAt = room.put(ids, "i32");
				const scratch = room.take((width + BLOCK) * 4);
				const output = room.take(ids.length * width * 4);
				for (const [start, end] of [
					[8, 21],
					[0, 8],
				])
					room.kernels.embed(
						FORMATS[format].id,
						packed.address,
						packed.panelBytes,
						packed.depth,
						idsAt,
						start,
						end,
						1,
						scratch,
						output,
						width,
					);
				assertUntouched(room, output + ids.length * width * 4);
				for (const [t, id] of ids.entries())
					assert.deepEqual(
						room.f32(output + t * width * 4, width),
						dequantized(rows[id], format),
						`${format} [${vocab} × ${width}] token ${id}`,
					);
			}
	});
});

function normed(
	x: Float32Array,
	weight: Float32Array,
	eps: number,
): Float64Array {
	let squares = 0;
	for (const value of x) squares += value * value;
	const scale = 1 / Math.sqrt(squares / x.length + Math.fround(eps));
	return Float64Array.from(x, (value, i) => value * scale * weight[i]);
}

/** What half a step of every activation can change in the product. */
function roundingOf(
	x: Float64Array,
	w: Float32Array,
	format: WeightFormat,
	steps: number,
): number {
	if (!isQuantized(format)) return 0;
	let bound = 0;
	for (let start = 0; start < x.length; start += BLOCK) {
		const largest = x
			.subarray(start, start + BLOCK)
			.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
		const weights = w
			.subarray(start, start + BLOCK)
			.reduce((sum, v) => sum + Math.abs(v), 0);
		bound += (0.501 * largest * weights) / steps;
	}
	return bound;
}
