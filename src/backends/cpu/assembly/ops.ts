// The ops of a program but attention and sampling, each for a range of its work: the caller splits the ranges over threads.
import { PANEL, pack, prepare, Q8_0, row, tile, unpack } from "./format";
import { exp4, madd, sum4 } from "./simd";

/** Rows of x that stay in a core's second-level cache while all panels pass by. */
const ROW_BLOCK = 128;

/** output[t] = table[ids[t]] for t in [start, end). output: f32 [T][width] */
export function embed(
	format: i32, table: usize, panelBytes: usize, depth: i32,
	ids: usize, start: i32, end: i32, scratch: usize, output: usize, width: i32,
): void {
	for (let t = start; t < end; t++) {
		const id = load<i32>(ids + <usize>t * 4);
		unpack(format, table + <usize>(id / PANEL) * panelBytes, depth, id % PANEL, scratch);
		memory.copy(output + <usize>t * <usize>width * 4, scratch, <usize>width * 4);
	}
}

/** target = x / sqrt(mean(x²) + eps) · weight, n elements; x and target may be the same. */
export function rms_norm(x: usize, weight: usize, n: i32, eps: f32, target: usize): void {
	let sums = f32x4.splat(0);
	const bytes = <usize>n * 4;
	const whole = bytes & ~15;
	for (let i: usize = 0; i < whole; i += 16) {
		const v = v128.load(x + i);
		sums = madd(v, v, sums);
	}
	let total = sum4(sums);
	for (let i = whole; i < bytes; i += 4) total += load<f32>(x + i) * load<f32>(x + i);
	const scale = <f32>1 / sqrt(total / <f32>n + eps);
	for (let i: usize = 0; i < whole; i += 16)
		v128.store(target + i, f32x4.mul(f32x4.mul(v128.load(x + i), f32x4.splat(scale)), v128.load(weight + i)));
	for (let i = whole; i < bytes; i += 4)
		store<f32>(target + i, load<f32>(x + i) * scale * load<f32>(weight + i));
}

/**
 * Rows [start, end) of x, normalised where `norm` is not 0, into groups of 4 in the form of the format's kernels.
 * rows: 0 or i32 indices of the rows to take (the logit rows). scratch: f32, the width rounded up to whole blocks.
 */
export function prepare_rows(
	format: i32, x: usize, width: i32, rows: usize, start: i32, end: i32,
	norm: usize, eps: f32, depth: i32, scratch: usize, groups: usize, groupBytes: usize,
): void {
	const padded = format >= Q8_0 ? depth * 32 : width;
	memory.fill(scratch + <usize>width * 4, 0, <usize>(padded - width) * 4);
	for (let r = start; r < end; r++) {
		const index = rows === 0 ? r : load<i32>(rows + <usize>r * 4);
		const source = x + <usize>index * <usize>width * 4;
		if (norm !== 0) rms_norm(source, norm, width, eps, scratch);
		else memory.copy(scratch, source, <usize>width * 4);
		prepare(format, scratch, depth, groups + <usize>(r >> 2) * groupBytes, r & 3);
	}
}

/** y[t, n] (+)= Σ x[t]·w[n] + bias[n] for panels [start, end). y: f32 [T][columns]; tileAt: 256 bytes of scratch */
export function linear(
	format: i32, groups: usize, groupBytes: usize, numRows: i32,
	w: usize, panelBytes: usize, start: i32, end: i32, depth: i32,
	bias: usize, y: usize, columns: i32, accumulate: bool, tileAt: usize,
): void {
	for (let first = 0; first < numRows; first += ROW_BLOCK) {
		const last = min(numRows, first + ROW_BLOCK);
		for (let p = start; p < end; p++) {
			const panel = w + <usize>p * panelBytes;
			const valid = min(PANEL, columns - p * PANEL);
			for (let t = first; t < last; t += 4) {
				const group = groups + <usize>(t >> 2) * groupBytes;
				if (numRows === 1) row(format, group, panel, depth, tileAt);
				else tile(format, group, panel, depth, tileAt);
				const count = min(4, last - t);
				for (let r = 0; r < count; r++)
					finish(tileAt + <usize>r * 64, bias, y + (<usize>(t + r) * <usize>columns + <usize>(p * PANEL)) * 4, p * PANEL, valid, accumulate);
			}
		}
	}
}

function finish(from: usize, bias: usize, to: usize, column: i32, valid: i32, accumulate: bool): void {
	let i: usize = 0;
	for (; i + 16 <= <usize>valid * 4; i += 16) {
		let value = v128.load(from + i);
		if (bias !== 0) value = f32x4.add(value, v128.load(bias + <usize>column * 4 + i));
		if (accumulate) value = f32x4.add(value, v128.load(to + i));
		v128.store(to + i, value);
	}
	for (; i < <usize>valid * 4; i += 4) {
		let value = load<f32>(from + i);
		if (bias !== 0) value += load<f32>(bias + <usize>column * 4 + i);
		if (accumulate) value += load<f32>(to + i);
		store<f32>(to + i, value);
	}
}

/**
 * out[t, n] = silu(gate[t, n]) · up[t, n]; panel p of the gate and panel p of the up rows lie side by side, at 2p and 2p + 1.
 * out: f32 [T][columns]; tileAt: 512 bytes of scratch
 */
export function gated_linear(
	format: i32, groups: usize, groupBytes: usize, numRows: i32,
	w: usize, panelBytes: usize, start: i32, end: i32, depth: i32,
	out: usize, columns: i32, tileAt: usize,
): void {
	for (let first = 0; first < numRows; first += ROW_BLOCK) {
		const last = min(numRows, first + ROW_BLOCK);
		for (let p = start; p < end; p++) {
			const gate = w + <usize>(2 * p) * panelBytes;
			const valid = min(PANEL, columns - p * PANEL);
			for (let t = first; t < last; t += 4) {
				const group = groups + <usize>(t >> 2) * groupBytes;
				if (numRows === 1) {
					row(format, group, gate, depth, tileAt);
					row(format, group, gate + panelBytes, depth, tileAt + 256);
				} else {
					tile(format, group, gate, depth, tileAt);
					tile(format, group, gate + panelBytes, depth, tileAt + 256);
				}
				const count = min(4, last - t);
				for (let r: usize = 0; r < <usize>count; r++) {
					for (let i: usize = 0; i < 64; i += 16) silu_mul(tileAt + r * 64 + i);
					finish(tileAt + r * 64, 0, out + ((<usize>t + r) * <usize>columns + <usize>(p * PANEL)) * 4, p * PANEL, valid, false);
				}
			}
		}
	}
}

// @ts-ignore: decorator
@inline
function silu_mul(at: usize): void {
	const gate = v128.load(at);
	const sigmoid = f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), exp4(f32x4.neg(gate))));
	v128.store(at, f32x4.mul(f32x4.mul(gate, sigmoid), v128.load(at, 256)));
}

/** Normalises (norm not 0) and turns one head in place. cosSin: f32 [D/2] cosines, then [D/2] sines of its position. */
export function norm_rope(head: usize, headDim: i32, norm: usize, eps: f32, cosSin: usize): void {
	if (norm !== 0) rms_norm(head, norm, headDim, eps, head);
	const half = <usize>headDim * 2;
	let i: usize = 0;
	for (; i + 16 <= half; i += 16) {
		const a = v128.load(head + i);
		const b = v128.load(head + half + i);
		const cos = v128.load(cosSin + i);
		const sin = v128.load(cosSin + half + i);
		v128.store(head + i, f32x4.sub(f32x4.mul(a, cos), f32x4.mul(b, sin)));
		v128.store(head + half + i, f32x4.add(f32x4.mul(b, cos), f32x4.mul(a, sin)));
	}
	for (; i < half; i += 4) {
		const a = load<f32>(head + i);
		const b = load<f32>(head + half + i);
		const cos = load<f32>(cosSin + i);
		const sin = load<f32>(cosSin + half + i);
		store<f32>(head + i, a * cos - b * sin);
		store<f32>(head + half + i, b * cos + a * sin);
	}
}

/** `count` consecutive rows of weights, each `rowBytes` long, from row `first` on into their panels. `step`: distance of panels in panels. */
export function pack_rows(
	format: i32, source: usize, rowBytes: usize, count: i32, first: i32,
	depth: i32, w: usize, panelBytes: usize, step: i32,
): void {
	for (let r = first; r < first + count; r++) {
		pack(format, source, depth, w + <usize>(r / PANEL * step) * panelBytes, r % PANEL);
		source += rowBytes;
	}
}
