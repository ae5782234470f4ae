/** 8-bit floats and MXFP4: the code tables whole, scales of every layout, and every value of a layer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
	float8E4m3Table,
	float8E5m2Table,
	float8E8m0Table,
} from "../../src/weights/float8.ts";
import { openQuantized, readAll } from "../support/open-quantized.ts";
import {
	bytesOf,
	floats,
	halves,
	type RawTensor,
	type Tensors,
} from "../support/quantized-layers.ts";
import { randomSource } from "../support/random.ts";

const random = randomSource(8);

/** By the bits, as text: sign, exponent, fraction. */
function decode(byte: number, exponentBits: number): number {
	const bits = byte.toString(2).padStart(8, "0");
	const exponent = Number.parseInt(bits.slice(1, 1 + exponentBits), 2);
	const tail = bits.slice(1 + exponentBits);
	const fraction = Number.parseInt(tail, 2) / 2 ** tail.length;
	const bias = 2 ** (exponentBits - 1) - 1;
	const size =
		exponent === 0
			? fraction * 2 ** (1 - bias)
			: (1 + fraction) * 2 ** (exponent - bias);
	return bits[0] === "1" ? -size : size;
}

test("e4m3: all 256 patterns", () => {
	const table = float8E4m3Table();
	for (let byte = 0; byte < 256; byte++) {
		const isNaNPattern = (byte & 0x7f) === 0x7f;
		const wanted = isNaNPattern ? Number.NaN : decode(byte, 4);
		assert.ok(Object.is(table[byte], wanted), `byte ${byte}`);
	}
	assert.equal(Math.max(...table.filter(Number.isFinite)), 448);
	assert.equal(table[1], 2 ** -9);
	assert.ok(Object.is(table[128], -0));
});

test("e5m2: all 256 patterns, the upper halves of f16", () => {
	const table = float8E5m2Table();
	const view = new DataView(new ArrayBuffer(2));
	for (let byte = 0; byte < 256; byte++) {
		view.setUint16(0, byte << 8);
		assert.ok(Object.is(table[byte], view.getFloat16(0)), `byte ${byte}`);
	}
});

test("e8m0: all 256 patterns", () => {
	const table = float8E8m0Table();
	for (let byte = 0; byte < 255; byte++)
		assert.equal(table[byte], 2 ** (byte - 127), `byte ${byte}`);
	assert.ok(Number.isNaN(table[255]));
});

const finiteE4m3 = (): number => {
	const byte = random.below(256);
	return (byte & 0x7f) === 0x7f ? 0 : byte;
};

interface Grid {
	readonly label: string;
	readonly blocks: readonly [number, number];
	readonly suffix: string;
	readonly shape?: readonly number[];
	readonly config: object;
	readonly make?: (
		size: readonly number[],
		at: (r: number, c: number) => number,
		shape?: readonly number[],
	) => RawTensor;
}

const ROWS = 300;
const COLUMNS = 139;

const compressed = (strategy: string, more: object = {}): object => ({
	quant_method: "compressed-tensors",
	format: "float-quantized",
	config_groups: {
		group_0: { weights: { type: "float", num_bits: 8, strategy, ...more } },
	},
});

const fp8 = { quant_method: "fp8", activation_scheme: "dynamic" };
const grids: Grid[] = [
	{
		label: "fp8 blocks of 128 × 128",
		blocks: [128, 128],
		suffix: "_scale_inv",
		config: { ...fp8, weight_block_size: [128, 128] },
	},
	{
		label: "fp8 blocks of 64 × 32, scales of f16",
		blocks: [64, 32],
		suffix: "_scale_inv",
		config: { ...fp8, weight_block_size: [64, 32] },
		make: halves,
	},
	{
		label: "fp8, a scale for all",
		blocks: [ROWS, COLUMNS],
		suffix: "_scale",
		shape: [],
		config: { ...fp8, activation_scheme: "static" },
	},
	{
		label: "fp8, a scale a row",
		blocks: [1, COLUMNS],
		suffix: "_scale",
		shape: [ROWS],
		config: fp8,
	},
	{
		label: "float-quantized, a scale for all",
		blocks: [ROWS, COLUMNS],
		suffix: "_scale",
		shape: [1],
		config: compressed("tensor"),
	},
	{
		label: "float-quantized, a scale a row",
		blocks: [1, COLUMNS],
		suffix: "_scale",
		config: compressed("channel"),
	},
	{
		label: "float-quantized, groups of 32",
		blocks: [1, 32],
		suffix: "_scale",
		config: compressed("group", { group_size: 32 }),
	},
	{
		label: "float-quantized, blocks of 128 × 64",
		blocks: [128, 64],
		suffix: "_scale",
		config: compressed("block", { block_structure: [128, 64] }),
	},
];

for (const { label, blocks, suffix, shape, config, make = floats } of grids)
	test(`${label}: every value is code · scale`, async () => {
		const codes = Array.from({ length: ROWS }, () =>
			Array.from({ length: COLUMNS }, finiteE4m3),
		);
		const size = [Math.ceil(ROWS / blocks[0]), Math.ceil(COLUMNS / blocks[1])];
		const scales = Array.from({ length: size[0] }, () =>
			Array.from({ length: size[1] }, () =>
				Math.f16round((1 + random.uniform()) * 2e-4),
			),
		);
		const source = await openQuantized(
			{
				"x.weight": bytesOf("F8_E4M3", [ROWS, COLUMNS], (r, c) => codes[r][c]),
				[`x.weight${suffix}`]: make(size, (r, c) => scales[r][c], shape),
			},
			config,
		);
		const wanted = Float32Array.from(
			codes.flatMap((row, r) =>
				row.map((code, c) => {
					const scale =
						scales[Math.floor(r / blocks[0])][Math.floor(c / blocks[1])];
					return Math.f16round(Math.fround(decode(code, 4) * scale));
				}),
			),
		);
		assert.deepEqual([...source.tensors.keys()], ["x.weight"]);
		assert.equal(source.tensors.get("x.weight")?.dtype, "f16");
		for (const step of [ROWS, 1, 77])
			assert.deepEqual(await readAll(source, "x.weight", step), wanted);
	});

test("fp8: e5m2 codes, scales that are powers of two", async () => {
	const source = await openQuantized(
		{
			"x.weight": bytesOf("F8_E5M2", [2, 3], (r, c) => [0x3c, 0xc1, 2][c] + r),
			"x.weight_scale_inv": bytesOf("F8_E8M0", [1, 1], () => 120),
		},
		{ ...fp8, weight_block_size: [128, 128] },
	);
	const wanted = [0x3c, 0xc1, 2, 0x3d, 0xc2, 3].map(
		(code) => decode(code, 5) / 128,
	);
	assert.deepEqual(
		await readAll(source, "x.weight"),
		Float32Array.from(wanted, Math.f16round),
	);
});

/** gpt-oss: [experts, rows, columns / 32, 16]. The value of element c of a row, and where it lies. */
function mxfp4(experts: number, rows: number, columns: number) {
	const count = experts * rows * columns;
	const codes = Array.from({ length: count }, () => random.below(16));
	const exponents = Array.from(
		{ length: count / 32 },
		() => 118 + random.below(8),
	);
	const tensors: Tensors = {
		e_blocks: bytesOf(
			"U8",
			[count / 32, 16],
			(b, i) => codes[b * 32 + 2 * i] + codes[b * 32 + 2 * i + 1] * 16,
			[experts, rows, columns / 32, 16],
		),
		e_scales: bytesOf("U8", [count / 32, 1], (b) => exponents[b], [
			experts,
			rows,
			columns / 32,
		]),
	};
	const value = (expert: number, row: number, column: number): number => {
		const at = (expert * rows + row) * columns + column;
		const [sign, high, low, fraction] = codes[at]
			.toString(2)
			.padStart(4, "0")
			.split("")
			.map(Number);
		const exponent = high * 2 + low;
		const size =
			exponent === 0 ? fraction / 2 : (1 + fraction / 2) * 2 ** (exponent - 1);
		const scale = 2 ** (exponents[Math.floor(at / 32)] - 127);
		return (sign ? -size : size) * scale;
	};
	return { tensors, value };
}

test("mxfp4: experts as transformers keeps them, transposed, bf16", async () => {
	for (const [experts, rows, columns] of [
		[1, 1, 32],
		[3, 37, 64],
		[2, 70, 96],
	]) {
		const { tensors, value } = mxfp4(experts, rows, columns);
		const source = await openQuantized(tensors, { quant_method: "mxfp4" });
		assert.deepEqual(
			[...source.tensors.values()],
			[{ name: "e", dtype: "bf16", shape: [experts, columns, rows] }],
		);
		const wanted = new Float32Array(experts * columns * rows);
		for (let i = 0; i < wanted.length; i++)
			wanted[i] = value(
				Math.floor(i / (rows * columns)),
				i % rows,
				Math.floor(i / rows) % columns,
			);
		assert.deepEqual(await readAll(source, "e"), wanted);
		assert.deepEqual(await readAll(source, "e", 1), wanted);
	}
});
