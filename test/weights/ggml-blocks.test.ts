/** Block types against slow formulas written from ggml-quants.c's: same operations in f32, one after another, on random bytes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GGML_TYPES } from "../../bench/peers/gguf-writer.ts";
import type { BlockDtype } from "../../src/backends/backend.ts";
import {
	BLOCK_FORMATS,
	decode,
	findNonFiniteBlock,
	storedBytes,
} from "../../src/weights/ggml-blocks.ts";
import { GGML_TYPES as KNOWN_TYPES } from "../../src/weights/ggml-types.ts";
import { quantizeRow } from "../backends/cpu/plain-quantization.ts";
import { randomBlocks } from "../support/gguf-files.ts";
import { randomSource } from "../support/random.ts";

const f = Math.fround;
const times = (a: number, b: number) => f(a * b);
const plus = (a: number, b: number) => f(a + b);
const signed = (byte: number) => (byte > 127 ? byte - 256 : byte);

/** One block at a time, as the C code walks it. */
type Walk = (block: DataView, y: Float32Array) => void;

const half = (block: DataView, at: number) => block.getFloat16(at, true);
const byte = (block: DataView, at: number) => block.getUint8(at);

const IQ4 = [
	-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];
const E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6];

/** get_scale_min_k4 */
function scaleAndMin(j: number, block: DataView, at: number): [number, number] {
	const q = (i: number) => byte(block, at + i);
	if (j < 4) return [q(j) & 63, q(j + 4) & 63];
	return [
		(q(j + 4) & 0xf) | ((q(j - 4) >> 6) << 4),
		(q(j + 4) >> 4) | ((q(j) >> 6) << 4),
	];
}

const WALKS: Readonly<Record<BlockDtype, Walk>> = {
	q4_0(b, y) {
		const d = half(b, 0);
		for (let j = 0; j < 16; j++) {
			y[j] = times((byte(b, 2 + j) & 0xf) - 8, d);
			y[j + 16] = times((byte(b, 2 + j) >> 4) - 8, d);
		}
	},
	q4_1(b, y) {
		const [d, m] = [half(b, 0), half(b, 2)];
		for (let j = 0; j < 16; j++) {
			y[j] = plus(times(byte(b, 4 + j) & 0xf, d), m);
			y[j + 16] = plus(times(byte(b, 4 + j) >> 4, d), m);
		}
	},
	q5_0(b, y) {
		const d = half(b, 0);
		const qh = b.getUint32(2, true);
		for (let j = 0; j < 16; j++) {
			const xh0 = ((qh >>> j) << 4) & 0x10;
			const xh1 = (qh >>> (j + 12)) & 0x10;
			y[j] = times(((byte(b, 6 + j) & 0xf) | xh0) - 16, d);
			y[j + 16] = times(((byte(b, 6 + j) >> 4) | xh1) - 16, d);
		}
	},
	q5_1(b, y) {
		const [d, m] = [half(b, 0), half(b, 2)];
		const qh = b.getUint32(4, true);
		for (let j = 0; j < 16; j++) {
			const xh0 = ((qh >>> j) << 4) & 0x10;
			const xh1 = (qh >>> (j + 12)) & 0x10;
			y[j] = plus(times((byte(b, 8 + j) & 0xf) | xh0, d), m);
			y[j + 16] = plus(times((byte(b, 8 + j) >> 4) | xh1, d), m);
		}
	},
	q8_0(b, y) {
		const d = half(b, 0);
		for (let j = 0; j < 32; j++) y[j] = times(b.getInt8(2 + j), d);
	},
	q2_k(b, y) {
		const [d, min] = [half(b, 80), half(b, 82)];
		let is = 0;
		let at = 0;
		for (let n = 0; n < 256; n += 128) {
			for (let shift = 0; shift < 8; shift += 2)
				for (const part of [0, 16]) {
					const sc = byte(b, is++);
					const dl = times(d, sc & 0xf);
					const ml = times(min, sc >> 4);
					for (let l = 0; l < 16; l++) {
						const q = (byte(b, 16 + n / 4 + part + l) >> shift) & 3;
						y[at++] = plus(times(dl, q), -ml);
					}
				}
		}
	},
	q3_k(b, y) {
		const d = half(b, 108);
		// aux: 12 bytes of packed scales become 16, by the masks 0x03030303 and 0x0f0f0f0f.
		const aux = [0, 1, 2].map((i) => b.getUint32(96 + 4 * i, true));
		const [low, high] = [0x0f0f0f0f, 0x03030303];
		const tmp = aux[2];
		const words = [
			(aux[0] & low) | ((tmp & high) << 4),
			(aux[1] & low) | (((tmp >>> 2) & high) << 4),
			((aux[0] >>> 4) & low) | (((tmp >>> 4) & high) << 4),
			((aux[1] >>> 4) & low) | (((tmp >>> 6) & high) << 4),
		];
		const scales = words.flatMap((w) =>
			[0, 8, 16, 24].map((s) => (w >>> s) & 0xff),
		);
		let is = 0;
		let at = 0;
		let m = 1;
		for (let n = 0; n < 256; n += 128)
			for (let shift = 0; shift < 8; shift += 2) {
				for (const part of [0, 16]) {
					const dl = times(d, signed(scales[is++]) - 32);
					for (let l = 0; l < 16; l++) {
						const q = (byte(b, 32 + n / 4 + part + l) >> shift) & 3;
						const less = byte(b, part + l) & m ? 0 : 4;
						y[at++] = times(dl, q - less);
					}
				}
				m <<= 1;
			}
	},
	q4_k(b, y) {
		const [d, min] = [half(b, 0), half(b, 2)];
		let is = 0;
		for (let j = 0; j < 256; j += 64)
			for (const shift of [0, 4]) {
				const [sc, m] = scaleAndMin(is++, b, 4);
				const d1 = times(d, sc);
				const m1 = times(min, m);
				for (let l = 0; l < 32; l++) {
					const q = (byte(b, 16 + j / 2 + l) >> shift) & 0xf;
					y[j + shift * 8 + l] = plus(times(d1, q), -m1);
				}
			}
	},
	q5_k(b, y) {
		const [d, min] = [half(b, 0), half(b, 2)];
		let is = 0;
		let u = 1;
		for (let j = 0; j < 256; j += 64)
			for (const shift of [0, 4]) {
				const [sc, m] = scaleAndMin(is++, b, 4);
				const d1 = times(d, sc);
				const m1 = times(min, m);
				for (let l = 0; l < 32; l++) {
					const q = (byte(b, 48 + j / 2 + l) >> shift) & 0xf;
					const fifth = byte(b, 16 + l) & u ? 16 : 0;
					y[j + shift * 8 + l] = plus(times(d1, q + fifth), -m1);
				}
				u <<= 1;
			}
	},
	q6_k(b, y) {
		const d = half(b, 208);
		for (let n = 0; n < 2; n++) {
			const ql = (i: number) => byte(b, n * 64 + i);
			const qh = (i: number) => byte(b, 128 + n * 32 + i);
			const sc = (i: number) => b.getInt8(192 + n * 8 + i);
			for (let l = 0; l < 32; l++) {
				const is = Math.floor(l / 16);
				const q = [
					((ql(l) & 0xf) | ((qh(l) & 3) << 4)) - 32,
					((ql(l + 32) & 0xf) | (((qh(l) >> 2) & 3) << 4)) - 32,
					((ql(l) >> 4) | (((qh(l) >> 4) & 3) << 4)) - 32,
					((ql(l + 32) >> 4) | (((qh(l) >> 6) & 3) << 4)) - 32,
				];
				q.forEach((value, part) => {
					const scale = times(d, sc(is + 2 * part));
					y[n * 128 + part * 32 + l] = times(scale, value);
				});
			}
		}
	},
	iq4_nl(b, y) {
		const d = half(b, 0);
		for (let j = 0; j < 16; j++) {
			y[j] = times(d, IQ4[byte(b, 2 + j) & 0xf]);
			y[j + 16] = times(d, IQ4[byte(b, 2 + j) >> 4]);
		}
	},
	iq4_xs(b, y) {
		const d = half(b, 0);
		const scalesHigh = b.getUint16(2, true);
		for (let ib = 0; ib < 8; ib++) {
			const low = (byte(b, 4 + Math.floor(ib / 2)) >> (4 * (ib % 2))) & 0xf;
			const ls = low | (((scalesHigh >> (2 * ib)) & 3) << 4);
			const dl = times(d, ls - 32);
			for (let j = 0; j < 16; j++) {
				const q = byte(b, 8 + ib * 16 + j);
				y[ib * 32 + j] = times(dl, IQ4[q & 0xf]);
				y[ib * 32 + j + 16] = times(dl, IQ4[q >> 4]);
			}
		}
	},
	mxfp4(b, y) {
		// The OCP specification: 2^(e − 127) times an E2M1 float, whose fourth bit is its sign.
		const scale = 2 ** (byte(b, 0) - 127);
		const level = (q: number) => (q & 8 ? 0 - E2M1[q & 7] : E2M1[q]);
		for (let j = 0; j < 16; j++) {
			y[j] = times(scale, level(byte(b, 1 + j) & 0xf));
			y[j + 16] = times(scale, level(byte(b, 1 + j) >> 4));
		}
	},
};

const DTYPES = Object.keys(BLOCK_FORMATS) as BlockDtype[];
const bits = (values: Float32Array) => new Uint32Array(values.buffer);

for (const dtype of DTYPES)
	test(`${dtype}: bit for bit`, () => {
		const { halves, blockElements, blockBytes } = BLOCK_FORMATS[dtype];
		const numBlocks = 300;
		const random = randomSource(DTYPES.indexOf(dtype) + 1);
		const bytes = randomBlocks(dtype, numBlocks, random, halves);
		const want = new Float32Array(numBlocks * blockElements);
		for (let i = 0; i < numBlocks; i++)
			WALKS[dtype](
				new DataView(bytes.buffer, i * blockBytes, blockBytes),
				want.subarray(i * blockElements, (i + 1) * blockElements),
			);
		assert.ok(new Set(want).size > 100, "the blocks differ");
		assert.deepEqual(bits(decode(bytes, dtype)), bits(want));
		const shifted = new Uint8Array(bytes.length + 1);
		shifted.set(bytes, 1);
		assert.deepEqual(bits(decode(shifted.subarray(1), dtype)), bits(want));
	});

test("the tables agree on sizes and numbers, and with the writer's", () => {
	for (const dtype of DTYPES) {
		const { id, name, blockElements, blockBytes } = BLOCK_FORMATS[dtype];
		assert.equal(name, dtype);
		const known = KNOWN_TYPES.get(id);
		assert.deepEqual(known, { name, dtype, blockElements, blockBytes });
		const { blockLength, ...written } = GGML_TYPES[dtype];
		assert.deepEqual(
			{ ...written, blockElements: blockLength },
			{ id, blockElements, blockBytes },
		);
		assert.equal(storedBytes(dtype, 3 * blockElements), 3 * blockBytes);
	}
	assert.equal(storedBytes("bf16", 5), 10);
});

test("a scale that is no number is found by the element its block begins with", () => {
	for (const dtype of DTYPES) {
		const { halves, blockElements, blockBytes } = BLOCK_FORMATS[dtype];
		const bytes = new Uint8Array(3 * blockBytes);
		assert.equal(findNonFiniteBlock(bytes, dtype), undefined);
		for (const half of halves) {
			const broken = bytes.slice();
			broken[2 * blockBytes + half + 1] = 0xfc; // −Infinity
			assert.equal(findNonFiniteBlock(broken, dtype), 2 * blockElements);
		}
	}
});

/** Blocks as ggml's own quantizer writes them, as bytes. */
function quantized(format: "q8_0" | "q4_0", seed: number): Uint8Array {
	const { blockBytes } = BLOCK_FORMATS[format];
	const row = randomSource(seed).vector(32 * 400, 20);
	const { scales, quants } = quantizeRow(row, format);
	const bytes = new Uint8Array(scales.length * blockBytes);
	scales.forEach((scale, i) => {
		const view = new DataView(bytes.buffer, i * blockBytes, blockBytes);
		view.setFloat16(0, scale, true);
		const q = quants.subarray(i * 32, (i + 1) * 32);
		for (let j = 0; j < blockBytes - 2; j++)
			view.setUint8(
				2 + j,
				format === "q8_0" ? q[j] & 255 : q[j] | (q[j + 16] << 4),
			);
	});
	return bytes;
}

/** Quantizing what a block stands for gives another one where the block does not use its range: so blocks are never made again. */
test("quantized again, blocks of ggml's quantizer stay the same; others do not", () => {
	for (const format of ["q8_0", "q4_0"] as const) {
		const bytes = quantized(format, 5);
		const values = decode(bytes, format);
		const again = quantizeRow(values, format).values;
		assert.deepEqual(bits(again), bits(values), format);
		const { halves } = BLOCK_FORMATS[format];
		const free = randomBlocks(format, 400, randomSource(6), halves);
		for (let at = 2; at < free.length; at += BLOCK_FORMATS[format].blockBytes)
			free.fill(0x33, at, at + BLOCK_FORMATS[format].blockBytes - 2);
		const other = decode(free, format);
		assert.notDeepEqual(quantizeRow(other, format).values, other, format);
	}
});
