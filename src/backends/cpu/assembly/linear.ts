// The linear ops of a program, each for a range of its output columns: the caller splits the ranges over threads.
import { PANEL, pack, prepare, Q8_0, row, tile } from "./format";
import { gate_row } from "./gating";
import { rms_norm } from "./norm";

/** Rows of x that stay in a core's second-level cache while all panels pass by. */
const ROW_BLOCK = 128;

/**
 * Rows [start, end) of x, normalised where `norm` is not 0, into groups of 4 in the form of the format's kernels.
 * rows: 0 or i32 indices of the rows to take (the logit rows); slots: 0 or i32 places in the groups, four to a group, of rows
 * that do not follow one another. scratch: f32, the width rounded up to whole blocks.
 */
export function prepare_rows(
	format: i32, x: usize, width: i32, rows: usize, slots: usize, start: i32, end: i32,
	norm: usize, eps: f32, depth: i32, scratch: usize, groups: usize, groupBytes: usize,
): void {
	const padded = format >= Q8_0 ? depth * 32 : width;
	memory.fill(scratch + <usize>width * 4, 0, <usize>(padded - width) * 4);
	for (let r = start; r < end; r++) {
		const index = rows === 0 ? r : load<i32>(rows + <usize>r * 4);
		const slot = slots === 0 ? r : load<i32>(slots + <usize>r * 4);
		const source = x + <usize>index * <usize>width * 4;
		if (norm !== 0) rms_norm(source, norm, width, eps, scratch);
		else memory.copy(scratch, source, <usize>width * 4);
		prepare(format, scratch, depth, groups + <usize>(slot >> 2) * groupBytes, slot & 3);
	}
}

/** y[t, n] (+)= scale · (Σ x[t]·w[n] + bias[n]) for panels [start, end). y: f32 [T][columns]; tileAt: 256 bytes of scratch */
export function linear(
	format: i32, groups: usize, groupBytes: usize, numRows: i32,
	w: usize, panelBytes: usize, start: i32, end: i32, depth: i32,
	bias: usize, scale: f32, y: usize, columns: i32, accumulate: bool, tileAt: usize,
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
				for (let r = 0; r < count; r++) {
					const to = y + (<usize>(t + r) * <usize>columns + <usize>(p * PANEL)) * 4;
					finish(tileAt + <usize>r * 64, bias, scale, to, p * PANEL, valid, accumulate);
				}
			}
		}
	}
}

/** y[rows[t], n] += factors[t] · (Σ x[t]·w[n] + bias[n]), otherwise as `linear`: what an expert has to say of its tokens. */
export function linear_scatter(
	format: i32, groups: usize, groupBytes: usize, numRows: i32,
	w: usize, panelBytes: usize, start: i32, end: i32, depth: i32,
	bias: usize, rows: usize, factors: usize, y: usize, columns: i32, tileAt: usize,
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
				for (let r = 0; r < count; r++) {
					const index = <usize>load<i32>(rows + <usize>(t + r) * 4);
					const factor = load<f32>(factors + <usize>(t + r) * 4);
					const to = y + (index * <usize>columns + <usize>(p * PANEL)) * 4;
					finish(tileAt + <usize>r * 64, bias, factor, to, p * PANEL, valid, true);
				}
			}
		}
	}
}

function finish(from: usize, bias: usize, scale: f32, to: usize, column: i32, valid: i32, accumulate: bool): void {
	let i: usize = 0;
	for (; i + 16 <= <usize>valid * 4; i += 16) {
		let value = v128.load(from + i);
		if (bias !== 0) value = f32x4.add(value, v128.load(bias + <usize>column * 4 + i));
		value = f32x4.mul(value, f32x4.splat(scale));
		if (accumulate) value = f32x4.add(value, v128.load(to + i));
		v128.store(to + i, value);
	}
	for (; i < <usize>valid * 4; i += 4) {
		let value = load<f32>(from + i);
		if (bias !== 0) value += load<f32>(bias + <usize>column * 4 + i);
		value *= scale;
		if (accumulate) value += load<f32>(to + i);
		store<f32>(to + i, value);
	}
}

/**
 * out[t, n] = gating of gate[t, n] and up[t, n]; panel p of the gate and panel p of the up rows lie side by side, at 2p and 2p + 1.
 * bias: 0 or f32 [2 · columns], the gate's first, with 64 bytes behind that may be read. gating, limit: see gating.ts.
 * out: f32 [T][columns]; tileAt: 512 bytes of scratch
 */
export function gated_linear(
	format: i32, groups: usize, groupBytes: usize, numRows: i32,
	w: usize, panelBytes: usize, start: i32, end: i32, depth: i32,
	bias: usize, gating: i32, limit: f32, out: usize, columns: i32, tileAt: usize,
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
					const at = tileAt + r * 64;
					if (bias !== 0) {
						add_bias(at, bias + <usize>(p * PANEL) * 4);
						add_bias(at + 256, bias + <usize>(columns + p * PANEL) * 4);
					}
					gate_row(gating, limit, at);
					const to = out + ((<usize>t + r) * <usize>columns + <usize>(p * PANEL)) * 4;
					finish(at, 0, 1, to, p * PANEL, valid, false);
				}
			}
		}
	}
}

/** Sixteen columns; what is not a column is added to what is not stored. */
function add_bias(at: usize, bias: usize): void {
	for (let i: usize = 0; i < 64; i += 16) v128.store(at + i, f32x4.add(v128.load(at + i), v128.load(bias + i)));
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
