/** What the device makes of numbers while it loads them, bit for bit: blocks whose elements lie between two steps, and halves. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import {
	PACK_HEADER_WORDS,
	packGrid,
	packWeight,
} from "../../../src/backends/webgpu/kernels/pack-weight.ts";
import type { MatrixFormat } from "../../../src/backends/webgpu/layout.ts";
import {
	bfloat16ToFloat32,
	float32ToBfloat16,
	float32ToFloat16,
} from "../../../src/weights/convert.ts";
import { type RandomSource, randomSource } from "../../support/random.ts";
import {
	bufferOf,
	openTestGpu,
	readBack,
	runKernel,
} from "../../support/webgpu.ts";
import {
	BLOCK,
	type QuantizedFormat,
	quantizeRow,
} from "../cpu/plain-quantization.ts";

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

const f32 = Math.fround;
const BLOCKS_OF_A_KIND = 400;
/** The step between two values is the largest over this. */
const STEPS = { q8_0: 127, q4_0: -8 } as const;

const bf16 = (values: Float32Array) =>
	bfloat16ToFloat32(float32ToBfloat16(values));

function nextTo(x: number, ulps: number): number {
	const bits = new Int32Array(new Float32Array([x]).buffer);
	bits[0] += ulps;
	return new Float32Array(bits.buffer)[0];
}

type MakeBlock = (random: RandomSource, format: QuantizedFormat) => number[];

const normal: MakeBlock = (random) => [...random.vector(BLOCK, 20)];

/** The largest is first; the others lie in the middle of two steps, `ulps` beside it. */
const between =
	(ulps: (random: RandomSource) => number): MakeBlock =>
	(random, format) => {
		const steps = STEPS[format];
		const [largest] = bf16(Float32Array.of(steps * random.normal()));
		const step = f32(largest / steps);
		const others = Array.from({ length: BLOCK - 1 }, () => {
			const whole = random.below(2 * Math.abs(steps) - 1) - Math.abs(steps);
			return nextTo(f32((whole + 0.5) * step), ulps(random));
		});
		return [largest, ...others];
	};

const KINDS: Readonly<Record<string, MakeBlock>> = {
	normal,
	"short numbers": (random) => [...bf16(random.vector(BLOCK, 6))],
	ties: between(() => 0),
	"beside ties": between((random) => random.below(9) - 4),
	"few that are not zero": (random) =>
		normal(random, "q8_0").map((x) => (random.uniform() < 0.9 ? 0 : x)),
	zeros: () => new Array(BLOCK).fill(0),
	"scales of every size": (random, format) => {
		const factor = 2 ** (random.below(130) - 120);
		return between(() => 0)(random, format).map((x) => f32(x * factor));
	},
	"denormal elements": (random) => [
		random.normal(),
		...Array.from(
			{ length: BLOCK - 1 },
			() => (random.below(2 ** 23) - 2 ** 22) * 2 ** -149,
		),
	],
	"two as large, of both signs": (random) => {
		const block = normal(random, "q4_0");
		const most = 1.5 * Math.max(...block.map(Math.abs));
		const sign = random.uniform() < 0.5 ? 1 : -1;
		block[random.below(16)] = sign * most;
		block[16 + random.below(16)] = -sign * most;
		return block;
	},
};

/** All blocks side by side, each a row. */
function blocksFor(format: QuantizedFormat): Float32Array {
	const random = randomSource(STEPS[format] + 500);
	return Float32Array.from(
		Object.values(KINDS).flatMap((make) =>
			Array.from({ length: BLOCKS_OF_A_KIND }, () =>
				make(random, format),
			).flat(),
		),
	);
}

async function packed(values: Float32Array, format: MatrixFormat) {
	const rows = values.length / BLOCK;
	const words = new Uint32Array(PACK_HEADER_WORDS + values.length);
	words.set([0, rows, 0, rows]);
	words.set(new Uint32Array(values.buffer), PACK_HEADER_WORDS);
	const layout = { count: 1, rows, pitch: rows, interleaved: false };
	const kernel = packWeight({ from: "f32", format, columns: BLOCK, layout });
	const quants = bufferOf(gpu, 4 * values.length);
	const scales = bufferOf(gpu, 2 * rows);
	const overflow = bufferOf(gpu, 4);
	const buffers = [bufferOf(gpu, words), quants, scales, overflow];
	await runKernel(gpu, kernel, buffers, packGrid(BLOCK, rows));
	return {
		quants: new Uint8Array(await readBack(gpu, quants)),
		scales: new Uint16Array(await readBack(gpu, scales)).slice(0, rows),
		overflow: new Uint32Array(await readBack(gpu, overflow))[0],
	};
}

/** Bytes of the quants of one block. */
function bytesOf(quants: Int32Array, format: QuantizedFormat): number[] {
	if (format === "q8_0") return Array.from(quants, (q) => q & 0xff);
	return Array.from(
		{ length: 16 },
		(_, i) => quants[i] | (quants[16 + i] << 4),
	);
}

for (const format of ["q8_0", "q4_0"] as const)
	test(`${format}: every bit as ggml's`, async () => {
		const values = blocksFor(format);
		const wanted = quantizeRow(values, format);
		const got = await packed(values, format);
		assert.equal(got.overflow, 0);
		const size = format === "q8_0" ? 32 : 16;
		const kinds = Object.keys(KINDS);
		const halves = float32ToFloat16(Float32Array.from(wanted.scales)).values;
		for (let b = 0; b < halves.length; b++) {
			const where = `block ${b}, ${kinds[Math.floor(b / BLOCKS_OF_A_KIND)]}`;
			assert.equal(got.scales[b], halves[b], `${where}: scale`);
			const own = wanted.quants.subarray(b * BLOCK, (b + 1) * BLOCK);
			assert.deepEqual(
				[...got.quants.subarray(b * size, (b + 1) * size)],
				bytesOf(own, format),
				where,
			);
		}
	});

for (const format of ["q8_0", "q4_0"] as const)
	test(`${format}: these blocks tell a reciprocal that is off by a last bit`, () => {
		const values = blocksFor(format);
		for (const ulps of [-2, -1, 1, 2]) {
			let changed = 0;
			for (let at = 0; at < values.length; at += BLOCK) {
				const block = values.subarray(at, at + BLOCK);
				const { quants } = quantizeRow(block, format);
				const careless = carelessly(block, format, ulps);
				if (quants.some((q, i) => q !== careless[i])) changed++;
			}
			assert.ok(changed > 100, `${ulps}: ${changed} blocks change`);
		}
	});

function carelessly(
	block: Float32Array,
	format: QuantizedFormat,
	ulps: number,
): number[] {
	const amax = Math.max(...block.map(Math.abs));
	const extreme = block.find((x) => Math.abs(x) === amax) ?? 0;
	const scale = f32(format === "q8_0" ? amax / 127 : extreme / -8);
	const inverse = scale === 0 ? 0 : nextTo(f32(1 / scale), ulps);
	return Array.from(block, (x) => {
		const p = f32(x * inverse);
		if (format === "q4_0") return Math.min(15, Math.trunc(f32(p + 8.5)));
		return Math.sign(p) * Math.floor(Math.abs(p) + 0.5) + 0;
	});
}

test("halves are the nearest, and of two the even one", async () => {
	const random = randomSource(9);
	const bits = Uint32Array.from({ length: 32 * 2000 }, (_, i) => {
		const sign = random.below(2) * 2 ** 31;
		const exponent = 95 + random.below(47);
		// Every second one lies in the middle of two halves, or a last bit beside it.
		const tail = i % 2 === 0 ? random.below(2 ** 13) : 4095 + random.below(3);
		return sign + exponent * 2 ** 23 + random.below(2 ** 10) * 2 ** 13 + tail;
	});
	const values = new Float32Array(bits.buffer);
	const inside = values.map((x) => (Math.abs(x) > 65504 ? 65504 : x));
	const { quants, overflow } = await packed(inside, "f16");
	assert.equal(overflow, 0);
	assert.deepEqual(
		new Uint16Array(quants.buffer, 0, values.length),
		float32ToFloat16(inside).values,
	);
});

test("no half: numbers are told, infinite ones too; what is none stays none", async () => {
	for (const x of [65505, -70000, Infinity]) {
		const values = new Float32Array(BLOCK).fill(x);
		assert.equal((await packed(values, "f16")).overflow, 1, `${x}`);
	}
	const none = await packed(new Float32Array(BLOCK).fill(NaN), "f16");
	assert.equal(none.overflow, 0);
	assert.equal(new Uint16Array(none.quants.buffer)[0] & 0x7fff, 0x7e00);
});
