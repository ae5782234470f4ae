/** The kernels between two linears, called directly: RMSNorm, rotary embedding, cache writes, paged attention. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TensorDtype } from "../../../src/backends/backend.ts";
import { FORMATS } from "../../../src/backends/cpu/format.ts";
import { paddedHead, tilesScratch } from "../../../src/backends/cpu/scratch.ts";
import { randomSource } from "../../support/random.ts";
import { assertClose, eachBuild, type Room, stored } from "./kernel-room.ts";

type AttentionKernel = "attend" | "attend_tiles";
const ATTENTION_KERNELS = (["attend", "attend_tiles"] as const).flatMap(
	(kernel) =>
		(["f32", "f16", "bf16"] as const).map((type) => [kernel, type] as const),
);
/** Head sizes, and the pairs of each that turn. */
const ROTATIONS = [2, 4, 6, 8, 10, 20, 24, 64, 128, 130]
	.map((headDim) => [headDim, headDim / 2] as const)
	.concat([
		[7, 1],
		[7, 3],
		[20, 5],
		[33, 0],
		[64, 16],
		[128, 33],
	]);
const SIZES = [1, 2, 3, 4, 5, 7, 8, 31, 33, 128, 1025];

eachBuild((room) => {
	test("rms_norm: odd sizes, in place too, small and large rows", () => {
		const random = randomSource(10);
		for (const n of SIZES)
			for (const scale of [1, 1e-8, 1e4, 0]) {
				const x = random.vector(n, 50).map((v) => v * scale);
				const weight = random.vector(n);
				for (const inPlace of [false, true]) {
					room.reset();
					const at = room.put(x);
					const target = inPlace ? at : room.take(n * 4);
					room.kernels.rms_norm(at, room.put(weight), n, 1e-6, target);
					assert.equal(room.i32(target + n * 4, 1)[0], -1, "wrote too far");
					const want = normed(x, weight, 1e-6);
					for (const [i, got] of room.f32(target, n).entries())
						assertClose(
							got,
							want[i],
							2e-6 * Math.abs(want[i]) + 1e-30,
							() => `${n} elements, element ${i}`,
						);
				}
			}
	});

	test("norm_rope: every head size, turned whole, in part and not at all, with and without norm", () => {
		const random = randomSource(11);
		for (const [headDim, half] of ROTATIONS) {
			for (const withNorm of [false, true]) {
				const head = random.vector(headDim, 5);
				const weight = random.vector(headDim);
				const angles = random.vector(half).map((v) => v * 10);
				const cosSin = [...angles.map(Math.cos), ...angles.map(Math.sin)];
				room.reset();
				const at = room.put(head);
				const norm = withNorm ? room.put(weight) : 0;
				room.kernels.norm_rope(at, headDim, norm, 1e-6, room.put(cosSin), half);
				assert.equal(room.i32(at + headDim * 4, 1)[0], -1, "wrote too far");
				const x = withNorm ? normed(head, weight, 1e-6) : head;
				const got = room.f32(at, headDim);
				for (let i = 0; i < half; i++) {
					const [cos, sin] = [cosSin[i], cosSin[half + i]].map(Math.fround);
					const size = Math.hypot(x[i], x[half + i]);
					const close = (index: number, want: number) =>
						assertClose(
							got[index],
							want,
							3e-6 * size,
							() => `head ${headDim}, element ${index}`,
						);
					close(i, x[i] * cos - x[half + i] * sin);
					close(half + i, x[half + i] * cos + x[i] * sin);
				}
				for (let i = 2 * half; i < headDim; i++)
					assertClose(
						got[i],
						x[i],
						2e-6 * Math.abs(x[i]),
						() => `head ${headDim}, element ${i} stays`,
					);
			}
		}
	});

	for (const [kernel, type] of ATTENTION_KERNELS)
		test(`${kernel}, ${type} cache: dense softmax in f64`, () => {
			const random = randomSource(12);
			let worst = 0;
			for (const shape of shapes(kernel === "attend" ? [51, 20] : [200, 37]))
				worst = Math.max(worst, checkAttend(room, kernel, type, shape, random));
			assert.ok(worst > 0, "something was compared");
		});

	test("scores of hundreds do not overflow, equal scores average", () => {
		for (const [kernel, scale] of [
			["attend", 0],
			["attend", 300],
			["attend_tiles", 0],
			["attend_tiles", 300],
		] as const) {
			room.reset();
			const numKeys = 37;
			const headDim = 8;
			const key = (p: number) => new Array(headDim).fill(Math.cos(p));
			const value = (p: number) => new Array(headDim).fill(p);
			const got = attend(room, kernel, "f32", {
				shape: {
					group: 2,
					headDim,
					blockSize: 4,
					window: 0,
					softCap: 0,
					sinks: false,
					context: numKeys,
					chunk: 1,
				},
				keys: Array.from({ length: numKeys }, (_, p) =>
					Float32Array.from(key(p)),
				),
				values: Array.from({ length: numKeys }, (_, p) =>
					Float32Array.from(value(p)),
				),
				queries: [new Float32Array(2 * headDim).fill(1)],
				blocks: Array.from({ length: 10 }, (_, b) => 9 - b),
				scale,
				sinks: new Float32Array(2),
			});
			// cos is largest at 0; the next, cos 19, is 0.011 below, times 8 · 300.
			const want = scale === 0 ? (numKeys - 1) / 2 : 0;
			for (const v of got[0]) assert.ok(Math.abs(v - want) < 1e-3, `${v}`);
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

interface Shape {
	/** Query heads of the KV head. */
	readonly group: number;
	readonly headDim: number;
	readonly blockSize: number;
	/** 0: none */
	readonly window: number;
	readonly softCap: number;
	readonly sinks: boolean;
	/** Tokens of the sequence; the last `chunk` of them are queries. */
	readonly context: number;
	readonly chunk: number;
}

interface Attention {
	readonly shape: Shape;
	readonly keys: readonly Float32Array[];
	readonly values: readonly Float32Array[];
	/** Per query token its heads. */
	readonly queries: readonly Float32Array[];
	readonly blocks: readonly number[];
	readonly scale: number;
	/** One score a query head. */
	readonly sinks: Float32Array;
}

/** Every group and head size with every window and chunk; block sizes take turns. */
function shapes(longest: readonly [context: number, chunk: number]): Shape[] {
	const result: Shape[] = [];
	for (const [group, headDim] of [
		[1, 2],
		[2, 6],
		[3, 20],
		[4, 8],
		[5, 34],
		[6, 10],
		[7, 24],
		[8, 16],
		[1, 128],
	])
		for (const window of [0, 1, 5, 40])
			for (const [context, chunk] of [[1, 1], [7, 7], [50, 1], longest]) {
				const blockSize = [1, 3, 16, 7][(result.length + window) % 4];
				// Every mixture of the two meets every window and chunk.
				const softCap = [0, 0, 2, 30][(group + result.length) % 4];
				const sinks = (headDim + result.length) % 3 === 0;
				const size = { group, headDim, blockSize, context, chunk };
				result.push({ ...size, window, softCap, sinks });
			}
	return result;
}

/** @returns the largest error */
function checkAttend(
	room: Room,
	kernel: AttentionKernel,
	type: TensorDtype,
	shape: Shape,
	random: ReturnType<typeof randomSource>,
): number {
	const { group, headDim, blockSize, context, chunk } = shape;
	const vectors = (n: number, length: number) =>
		Array.from({ length: n }, () => random.vector(length, 4));
	const numBlocks = Math.ceil(context / blockSize) + 2;
	const attention = {
		shape,
		keys: vectors(context, headDim),
		values: vectors(context, headDim),
		queries: vectors(chunk, group * headDim),
		blocks: random.shuffled(Array.from({ length: numBlocks }, (_, i) => i)),
		scale: headDim ** -0.5,
		sinks: random.vector(group, 4),
	};
	room.reset();
	const got = attend(room, kernel, type, attention);
	const want = dense(type, attention);
	let worst = 0;
	for (let t = 0; t < chunk; t++)
		for (let i = 0; i < group * headDim; i++) {
			worst = Math.max(worst, Math.abs(got[t][i] - want[t][i]));
			assertClose(
				got[t][i],
				want[t][i],
				2e-5,
				() => `${JSON.stringify(shape)} query ${t}, element ${i}`,
			);
		}
	return worst;
}

/** softmax(cap(scale · q · Kᵀ)) · V over the positions a query may see, and a sink where there is one. */
function dense(type: TensorDtype, a: Attention): Float64Array[] {
	const { group, headDim, window, softCap, context, chunk } = a.shape;
	const cap = (x: number) =>
		softCap === 0 ? x : softCap * Math.tanh(x / softCap);
	const keys = a.keys.map((k) => stored(k, type));
	const values = a.values.map((v) => stored(v, type));
	return a.queries.map((query, t) => {
		const out = new Float64Array(group * headDim);
		const last = context - chunk + t;
		const first = window === 0 ? 0 : Math.max(0, last - window + 1);
		for (let h = 0; h < group; h++) {
			const q = query.subarray(h * headDim, (h + 1) * headDim);
			const scores: number[] = [];
			for (let p = first; p <= last; p++) {
				let score = 0;
				for (let i = 0; i < headDim; i++) score += q[i] * keys[p][i];
				scores.push(cap(a.scale * score));
			}
			const sink = a.shape.sinks ? a.sinks[h] : -Infinity;
			const max = Math.max(...scores, sink);
			const weights = scores.map((s) => Math.exp(s - max));
			const total = weights.reduce((sum, w) => sum + w, Math.exp(sink - max));
			for (let p = first; p <= last; p++) {
				const weight = weights[p - first] / total;
				for (let i = 0; i < headDim; i++)
					out[h * headDim + i] += weight * values[p][i];
			}
		}
		return out;
	});
}

/**
 * One KV head of a layer with two: keys and values go through write_cache into blocks that lie anywhere, all else in the cache
 * is another sequence's (large numbers that would be seen in any result).
 */
function attend(
	room: Room,
	kernel: AttentionKernel,
	type: TensorDtype,
	a: Attention,
): Float32Array[] {
	const { group, headDim, blockSize, window, softCap, context, chunk } =
		a.shape;
	const { id } = FORMATS[type];
	const rowBytes = paddedHead(headDim) * (type === "f32" ? 4 : 2);
	const headBytes = blockSize * rowBytes;
	const blockBytes = 4 * headBytes;
	const cache = room.take((Math.max(...a.blocks) + 1) * blockBytes);
	const numBytes = (Math.max(...a.blocks) + 1) * blockBytes;
	new Uint8Array(room.memory.buffer).fill(0, cache, cache + numBytes);
	const foreign = room.put(new Float32Array(headDim).fill(3e4));
	for (let row = 0; row < numBytes / rowBytes; row++)
		room.kernels.write_cache(id, foreign, headDim, cache + row * rowBytes);
	const staged = room.take(headDim * 4);
	const write = (vector: Float32Array, at: number) => {
		room.f32(staged, headDim).set(vector);
		room.kernels.write_cache(id, staged, headDim, at);
	};
	const kvHead = cache + 2 * headBytes;
	for (let p = 0; p < context; p++) {
		const block = a.blocks[Math.floor(p / blockSize)];
		const at = kvHead + block * blockBytes + (p % blockSize) * rowBytes;
		write(a.keys[p], at);
		write(a.values[p], at + headBytes);
	}
	// Query tokens 2 .. 2+chunk of a step, in the middle of wider rows.
	const width = group * headDim + 5;
	const rows = new Float32Array((chunk + 2) * width).fill(Number.NaN);
	for (const [t, query] of a.queries.entries())
		rows.set(query, (t + 2) * width + 3);
	const positions = [9, 9, ...a.queries.map((_, t) => context - chunk + t)];
	const outWidth = group * headDim + 1;
	const out = room.take((chunk + 2) * outWidth * 4);
	const scratchBytes =
		kernel === "attend"
			? (8 * paddedHead(headDim) + 4 * 64 + 64) * 4
			: tilesScratch(chunk * group, headDim);
	const scratch = room.take(scratchBytes);
	room.kernels[kernel](
		id,
		room.put(rows) + 12,
		width * 4,
		group,
		headDim,
		room.put(positions, "i32"),
		2,
		2 + chunk,
		room.put(a.blocks, "i32"),
		blockSize,
		kvHead,
		blockBytes,
		a.scale,
		window,
		softCap,
		a.shape.sinks ? room.put(a.sinks) : 0,
		out,
		outWidth * 4,
		scratch,
	);
	const behind = room.i32(Math.ceil((scratch + scratchBytes) / 4) * 4, 1)[0];
	assert.equal(behind, -1, "wrote behind its scratch");
	const result: Float32Array[] = [];
	for (let t = 0; t < chunk + 2; t++) {
		const row = room.f32(out + t * outWidth * 4, outWidth);
		assert.ok(Number.isNaN(row[outWidth - 1]), "wrote beside its heads");
		if (t < 2)
			assert.ok(row.every(Number.isNaN), "wrote a query before the first");
		else result.push(row.slice(0, group * headDim));
	}
	return result;
}
