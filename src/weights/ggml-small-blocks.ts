/** ggml's types with blocks of 32: one scale, sometimes a minimum. Bit for bit as ggml-quants.c: see ggml-blocks.ts. */
import { float16ToFloat32 } from "./convert.ts";

const pattern = new Uint16Array(1);
const value = new Float32Array(1);

/** The f16 at `at`. */
export function halfAt(bytes: Uint8Array, at: number): number {
	pattern[0] = bytes[at] | (bytes[at + 1] << 8);
	return float16ToFloat32(pattern, value)[0];
}

/** d: f16, 16 bytes of nibbles. w = (q − 8) · d; byte j has elements j (low) and j + 16. */
export function dequantizeQ4_0(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, to = 0; at < bytes.length; at += 18, to += 32) {
		const d = halfAt(bytes, at);
		for (let j = 0; j < 16; j++) {
			const q = bytes[at + 2 + j];
			out[to + j] = ((q & 15) - 8) * d;
			out[to + 16 + j] = ((q >> 4) - 8) * d;
		}
	}
}

/** d, m: f16, 16 bytes of nibbles. w = q · d + m */
export function dequantizeQ4_1(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, to = 0; at < bytes.length; at += 20, to += 32) {
		const d = halfAt(bytes, at);
		const m = halfAt(bytes, at + 2);
		for (let j = 0; j < 16; j++) {
			const q = bytes[at + 4 + j];
			out[to + j] = (q & 15) * d + m;
			out[to + 16 + j] = (q >> 4) * d + m;
		}
	}
}

/** d: f16, 32 fifth bits, 16 bytes of nibbles. w = (q − 16) · d */
export function dequantizeQ5_0(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, to = 0; at < bytes.length; at += 22, to += 32) {
		const d = halfAt(bytes, at);
		for (let j = 0; j < 16; j++) {
			const q = bytes[at + 6 + j];
			out[to + j] = (((q & 15) | fifthBit(bytes, at + 2, j)) - 16) * d;
			out[to + 16 + j] =
				(((q >> 4) | fifthBit(bytes, at + 2, 16 + j)) - 16) * d;
		}
	}
}

/** d, m: f16, 32 fifth bits, 16 bytes of nibbles. w = q · d + m */
export function dequantizeQ5_1(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, to = 0; at < bytes.length; at += 24, to += 32) {
		const d = halfAt(bytes, at);
		const m = halfAt(bytes, at + 2);
		for (let j = 0; j < 16; j++) {
			const q = bytes[at + 8 + j];
			out[to + j] = ((q & 15) | fifthBit(bytes, at + 4, j)) * d + m;
			out[to + 16 + j] = ((q >> 4) | fifthBit(bytes, at + 4, 16 + j)) * d + m;
		}
	}
}

/** Bit `index` of the 32 at `at`, as 16 or 0. */
function fifthBit(bytes: Uint8Array, at: number, index: number): number {
	return ((bytes[at + (index >> 3)] >> (index & 7)) & 1) << 4;
}

/** d: f16, 32 int8. w = q · d */
export function dequantizeQ8_0(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, to = 0; at < bytes.length; at += 34, to += 32) {
		const d = halfAt(bytes, at);
		for (let j = 0; j < 32; j++)
			out[to + j] = ((bytes[at + 2 + j] << 24) >> 24) * d;
	}
}

/** What a nibble of iq4_nl and iq4_xs stands for. */
export const IQ4_LEVELS: readonly number[] = [
	-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/** As q4_0 with levels that are not evenly spaced. w = level(q) · d */
export function dequantizeIq4Nl(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, to = 0; at < bytes.length; at += 18, to += 32) {
		const d = halfAt(bytes, at);
		for (let j = 0; j < 16; j++) {
			const q = bytes[at + 2 + j];
			out[to + j] = IQ4_LEVELS[q & 15] * d;
			out[to + 16 + j] = IQ4_LEVELS[q >> 4] * d;
		}
	}
}

/** Twice the numbers of four-bit floats (E2M1). */
const MXFP4_LEVELS: readonly number[] = [
	0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12,
];

/** OCP's MXFP4: an exponent e, 16 bytes of nibbles laid out as q4_0's. w = level(q) · 2^(e − 128) */
export function dequantizeMxfp4(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, to = 0; at < bytes.length; at += 17, to += 32) {
		const d = 2 ** (bytes[at] - 128);
		for (let j = 0; j < 16; j++) {
			const q = bytes[at + 1 + j];
			out[to + j] = MXFP4_LEVELS[q & 15] * d;
			out[to + 16 + j] = MXFP4_LEVELS[q >> 4] * d;
		}
	}
}
