/**
 * Every op of a program in plain loops: the definition the other backends are tested against.
 * Activations, weights and cache are f32, sums f64. Each token's row is computed by itself, in an order that does not
 * depend on what else is in the batch, so batching, chunking and caching cannot change a bit of a result.
 */
import type { StepInput } from "../backend.ts";
import type { Heads, Rope } from "../program.ts";

/** A weight or activation: f32, row-major, `width` per row. */
export interface Matrix {
	readonly data: Float32Array;
	readonly width: number;
}

/** Keys and values of one layer: f32 [block][kv head][offset in block][headDim]. */
export interface LayerCache {
	readonly keys: Float32Array;
	readonly values: Float32Array;
	readonly blockSize: number;
}

/** Σ_i a[aStart+i] · b[bStart+i] over n elements, in four interleaved f64 sums. */
export function dot(
	a: Float32Array,
	aStart: number,
	b: Float32Array,
	bStart: number,
	n: number,
): number {
	let s0 = 0;
	let s1 = 0;
	let s2 = 0;
	let s3 = 0;
	let i = 0;
	for (; i + 3 < n; i += 4) {
		s0 += a[aStart + i] * b[bStart + i];
		s1 += a[aStart + i + 1] * b[bStart + i + 1];
		s2 += a[aStart + i + 2] * b[bStart + i + 2];
		s3 += a[aStart + i + 3] * b[bStart + i + 3];
	}
	for (; i < n; i++) s0 += a[aStart + i] * b[bStart + i];
	return s0 + s1 + (s2 + s3);
}

/** output[t] = scale · table[ids[t]].  table: [V, H]; output: [T, H] */
export function embed(
	ids: Int32Array,
	numTokens: number,
	table: Matrix,
	scale: number,
	output: Matrix,
): void {
	const { width } = table;
	for (let t = 0; t < numTokens; t++)
		for (let i = 0; i < width; i++)
			output.data[t * width + i] = scale * table.data[ids[t] * width + i];
}

/** target[i] = x[i] / sqrt(mean(x²) + eps) · weight[i] for one row of n elements; x and target may be the same. */
export function rmsNorm(
	x: Float32Array,
	xStart: number,
	weight: Float32Array,
	eps: number,
	target: Float32Array,
	targetStart: number,
): void {
	const n = weight.length;
	const scale = 1 / Math.sqrt(dot(x, xStart, x, xStart, n) / n + eps);
	for (let i = 0; i < n; i++)
		target[targetStart + i] = x[xStart + i] * scale * weight[i];
}

/** Each of the first `numRows` rows of x, normalised. */
export function normRows(
	x: Matrix,
	numRows: number,
	weight: Float32Array,
	eps: number,
): Matrix {
	const { width } = x;
	const y = matrixOf(numRows, width);
	for (let row = 0; row < numRows; row++)
		rmsNorm(x.data, row * width, weight, eps, y.data, row * width);
	return y;
}

export function matrixOf(rows: number, width: number): Matrix {
	return { data: new Float32Array(rows * width), width };
}

/** y[t, o] = Σ_i x[t, i] · w[o, i] + bias[o].  x: [T, I]; w: [O, I]; y: [T, O] */
export function linear(
	x: Matrix,
	numTokens: number,
	w: Matrix,
	bias: Float32Array | null,
	y: Matrix,
): void {
	const rows = y.width;
	for (let o = 0; o < rows; o++) {
		const b = bias === null ? 0 : bias[o];
		for (let t = 0; t < numTokens; t++) {
			const sum = dot(x.data, t * x.width, w.data, o * w.width, w.width);
			y.data[t * rows + o] = sum + b;
		}
	}
}

/** target[t] += scale · x[t] */
export function addScaled(
	x: Matrix,
	numTokens: number,
	scale: number,
	target: Matrix,
): void {
	const length = numTokens * x.width;
	for (let i = 0; i < length; i++) target.data[i] += scale * x.data[i];
}

/** softCap · tanh(x / softCap), or x */
export function cap(x: number, softCap: number | null): number {
	return softCap === null ? x : softCap * Math.tanh(x / softCap);
}

/** Turns a head's first 2F elements in place: element i pairs with i + F. The angle is rounded to f32, as transformers computes it. */
export function rope(
	x: Float32Array,
	start: number,
	position: number,
	{ inverseFrequencies, scale }: Rope,
): void {
	const half = inverseFrequencies.length;
	for (let i = 0; i < half; i++) {
		const angle = Math.fround(position * inverseFrequencies[i]);
		const cos = scale * Math.cos(angle);
		const sin = scale * Math.sin(angle);
		const a = x[start + i];
		const b = x[start + half + i];
		x[start + i] = a * cos - b * sin;
		x[start + half + i] = b * cos + a * sin;
	}
}

/** Copies k and v of every token from its qkv row to its slot. */
export function writeCache(
	qkv: Matrix,
	input: StepInput,
	heads: Heads,
	cache: LayerCache,
): void {
	const { numHeads, numKvHeads, headDim } = heads;
	for (let t = 0; t < input.numTokens; t++) {
		for (let h = 0; h < numKvHeads; h++) {
			const slot = cacheOffset(cache, heads, input.slotMapping[t], h);
			const k = t * qkv.width + (numHeads + h) * headDim;
			const v = k + numKvHeads * headDim;
			cache.keys.set(qkv.data.subarray(k, k + headDim), slot);
			cache.values.set(qkv.data.subarray(v, v + headDim), slot);
		}
	}
}

function cacheOffset(
	{ blockSize }: LayerCache,
	{ numKvHeads, headDim }: Heads,
	slot: number,
	kvHead: number,
): number {
	const block = Math.floor(slot / blockSize);
	const offset = slot % blockSize;
	return ((block * numKvHeads + kvHead) * blockSize + offset) * headDim;
}

/** How scores become weights: see the attention op. */
export interface Scoring {
	readonly scale: number;
	readonly slidingWindow: number | null;
	readonly softCap: number | null;
	/** f32 [numHeads] */
	readonly sinks: Float32Array | null;
}

/** Causal attention of every query over its own sequence's cached tokens. qkv: [T, ...] (q heads first); output: [T, numHeads · D] */
export function attention(
	qkv: Matrix,
	input: StepInput,
	heads: Heads,
	scoring: Scoring,
	cache: LayerCache,
	output: Matrix,
): void {
	const { queryStart, positions } = input;
	const { slidingWindow } = scoring;
	for (let s = 0; s < input.numSeqs; s++) {
		const slots = slotsOf(input, s, cache.blockSize);
		const scores = new Float64Array(slots.length);
		for (let t = queryStart[s]; t < queryStart[s + 1]; t++) {
			const end = positions[t] + 1;
			const first =
				slidingWindow === null ? 0 : Math.max(0, end - slidingWindow);
			const seen = slots.subarray(first, end);
			for (let h = 0; h < heads.numHeads; h++)
				attendHead(qkv, t, h, heads, scoring, cache, seen, scores, output);
		}
	}
}

/** Where the cache holds each token of sequence s. */
function slotsOf(
	{ blockTables, blockTableStart, contextLens }: StepInput,
	s: number,
	blockSize: number,
): Int32Array {
	return Int32Array.from({ length: contextLens[s] }, (_, p) => {
		const block = blockTables[blockTableStart[s] + Math.floor(p / blockSize)];
		return block * blockSize + (p % blockSize);
	});
}

/** Query head h of token t over the tokens in `slots`; scores: scratch of at least as many. */
function attendHead(
	qkv: Matrix,
	t: number,
	h: number,
	heads: Heads,
	{ scale, softCap, sinks }: Scoring,
	cache: LayerCache,
	slots: Int32Array,
	scores: Float64Array,
	output: Matrix,
): void {
	const { numHeads, numKvHeads, headDim } = heads;
	const q = t * qkv.width + h * headDim;
	const kvHead = Math.floor(h / (numHeads / numKvHeads));
	const sink = sinks === null ? -Infinity : sinks[h];
	let max = sink;
	for (let p = 0; p < slots.length; p++) {
		const k = cacheOffset(cache, heads, slots[p], kvHead);
		const score = scale * dot(qkv.data, q, cache.keys, k, headDim);
		scores[p] = cap(score, softCap);
		if (scores[p] > max) max = scores[p];
	}
	const sums = new Float64Array(headDim);
	let total = Math.exp(sink - max);
	for (let p = 0; p < slots.length; p++) {
		const weight = Math.exp(scores[p] - max);
		const v = cacheOffset(cache, heads, slots[p], kvHead);
		total += weight;
		for (let i = 0; i < headDim; i++) sums[i] += weight * cache.values[v + i];
	}
	const out = (t * numHeads + h) * headDim;
	for (let i = 0; i < headDim; i++) output.data[out + i] = sums[i] / total;
}
