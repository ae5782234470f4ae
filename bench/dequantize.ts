/**
 * How fast quantized layers become halves, from memory, on one core: a layer of 4096 × 4096 a method, gpt-oss's experts for MXFP4.
 *   node bench/dequantize.ts [--rounds 15]
 * Goals: every byte is read once, and an element takes at most 10 ns: an 8B model loads in about a minute on an old core.
 */
import { parseArgs } from "node:util";
import { CHUNK_BYTES } from "../src/backends/read-weight.ts";
import { bytesPerElement } from "../src/weights/convert.ts";
import { prequantizedWeights } from "../src/weights/prequantized.ts";
import { parseQuantizationConfig } from "../src/weights/quantization-config.ts";
import type { SafetensorsSource } from "../src/weights/safetensors.ts";
import type { HeaderEntry } from "../src/weights/safetensors-header.ts";

const { values } = parseArgs({
	options: { rounds: { type: "string", default: "15" } },
});
const numRounds = Number(values.rounds);

const SIZE = 4096;
const GROUPS = SIZE / 128;
const WORDS = SIZE / 8;

type Parts = Readonly<Record<string, readonly [string, readonly number[]]>>;

interface Case {
	readonly label: string;
	readonly tensor: string;
	readonly config: object;
	/** Name → dtype and shape. */
	readonly parts: Parts;
}

const gptq: Parts = {
	"x.qweight": ["I32", [WORDS, SIZE]],
	"x.qzeros": ["I32", [GROUPS, WORDS]],
	"x.scales": ["F16", [GROUPS, SIZE]],
};
const int4 = { bits: 4, group_size: 128 };

const cases: readonly Case[] = [
	{
		label: "gptq",
		tensor: "x.weight",
		config: { quant_method: "gptq", ...int4 },
		parts: gptq,
	},
	{
		label: "gptq, act-order",
		tensor: "x.weight",
		config: { quant_method: "gptq", ...int4, desc_act: true },
		parts: { ...gptq, "x.g_idx": ["I32", [SIZE]] },
	},
	{
		label: "awq",
		tensor: "x.weight",
		config: { quant_method: "awq", ...int4 },
		parts: { ...gptq, "x.qweight": ["I32", [SIZE, WORDS]] },
	},
	{
		label: "pack-quantized, 4 bits",
		tensor: "x.weight",
		config: {
			quant_method: "compressed-tensors",
			format: "pack-quantized",
			config_groups: { a: { weights: { num_bits: 4, group_size: 128 } } },
		},
		parts: {
			"x.weight_packed": ["I32", [SIZE, WORDS]],
			"x.weight_scale": ["F16", [SIZE, GROUPS]],
		},
	},
	{
		label: "fp8, blocks",
		tensor: "x.weight",
		config: { quant_method: "fp8", weight_block_size: [128, 128] },
		parts: {
			"x.weight": ["F8_E4M3", [SIZE, SIZE]],
			"x.weight_scale_inv": ["F32", [GROUPS, GROUPS]],
		},
	},
	{
		label: "mxfp4, 2 experts",
		tensor: "x",
		config: { quant_method: "mxfp4" },
		parts: {
			x_blocks: ["U8", [2, 5760, 90, 16]],
			x_scales: ["U8", [2, 5760, 90]],
		},
	},
];

const elementBytes: Readonly<Record<string, number>> = {
	...{ I32: 4, F32: 4, F16: 2, F8_E4M3: 1, U8: 1 },
};

/** A checkpoint in memory that counts what is read of it. */
function memorySource(parts: Parts) {
	const entries = new Map<string, HeaderEntry>();
	const contents = new Map<string, Uint8Array>();
	const read = { bytes: 0, stored: 0 };
	for (const [name, [dtype, shape]] of Object.entries(parts)) {
		const byteLength = shape.reduce((a, b) => a * b, elementBytes[dtype]);
		entries.set(name, { name, dtype, shape, offset: 0, byteLength });
		contents.set(name, fill(name, dtype, byteLength));
		read.stored += byteLength;
	}
	const readRaw = async (name: string, start: number, end: number) => {
		const rowBytes =
			(entries.get(name)?.byteLength ?? 0) / (entries.get(name)?.shape[0] ?? 1);
		read.bytes += (end - start) * rowBytes;
		const content = contents.get(name) ?? new Uint8Array();
		return content.slice(start * rowBytes, end * rowBytes);
	};
	const source: SafetensorsSource = {
		...{ tensors: new Map(), entries, readRaw, read: readRaw },
		async close() {},
	};
	return { source, read };
}

/** Codes of every kind, scales and groups that a layer may have. */
function fill(name: string, dtype: string, byteLength: number): Uint8Array {
	const bytes = new Uint8Array(byteLength);
	const mixed = (i: number) => Math.imul(i, 2654435761) >>> 13;
	if (dtype === "F16") new Uint16Array(bytes.buffer).fill(0x1000);
	else if (dtype === "F32") new Float32Array(bytes.buffer).fill(0.001);
	else if (name === "x_scales") bytes.fill(120);
	else if (name === "x.g_idx")
		new Int32Array(bytes.buffer).forEach((_, i, groups) => {
			groups[i] = mixed(i) % GROUPS;
		});
	else {
		const mask = dtype === "F8_E4M3" ? 0x77 : 0xff;
		for (let i = 0; i < bytes.length; i++) bytes[i] = mixed(i) & mask;
	}
	return bytes;
}

for (const { label, tensor, config, parts } of cases) {
	const { source, read } = memorySource(parts);
	const weights = prequantizedWeights(source, parseQuantizationConfig(config));
	const info = weights.tensors.get(tensor);
	if (!info) throw new Error(`${label}: no tensor ${tensor}`);
	const [rows, ...rest] = info.shape;
	const columns = rest.reduce((a, b) => a * b, 1);
	const rowBytes = columns * bytesPerElement[info.dtype];
	const step = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
	let bestMs = Number.POSITIVE_INFINITY;
	for (let round = 0; round < numRounds; round++) {
		read.bytes = 0;
		const start = performance.now();
		for (let row = 0; row < rows; row += step)
			await weights.read(tensor, row, Math.min(rows, row + step));
		bestMs = Math.min(bestMs, performance.now() - start);
	}
	const perElement = (bestMs * 1e6) / (rows * columns);
	console.log(
		`${label.padEnd(24)} ${bestMs.toFixed(0).padStart(4)} ms  ${perElement.toFixed(1)} ns an element  ${(read.bytes / 1e6).toFixed(1)} MB read of ${(read.stored / 1e6).toFixed(1)}`,
	);
}
