/**
 * ggml's types with blocks of 256: small integer scales of 16 or 32 neighbours, which share an f16 scale in turn.
 * Bit for bit as ggml-quants.c: see ggml-blocks.ts.
 */
import { halfAt, IQ4_LEVELS } from "./ggml-small-blocks.ts";

/** 16 bytes of scale (low) and minimum (high nibble), 64 bytes of two bits, d and dmin. w = d · scale · q − dmin · minimum */
export function dequantizeQ2K(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, to = 0; at < bytes.length; at += 84, to += 256) {
		const d = halfAt(bytes, at + 80);
		const dmin = halfAt(bytes, at + 82);
		for (let group = 0; group < 16; group++) {
			const scales = bytes[at + group];
			const step = d * (scales & 15);
			const least = dmin * (scales >> 4);
			const { from, shift } = twoBits(group);
			for (let l = 0; l < 16; l++)
				out[to + group * 16 + l] =
					step * ((bytes[at + 16 + from + l] >> shift) & 3) - least;
		}
	}
}

/** Of q2_k and q3_k: where in the 64 bytes the 16 pairs of bits of a group are. Half a block shares 32 bytes. */
function twoBits(group: number): { from: number; shift: number } {
	return {
		from: (group >> 3) * 32 + (group & 1) * 16,
		shift: 2 * ((group >> 1) & 3),
	};
}

/** 32 bytes of third bits, 64 of two bits, 12 of six-bit scales, d. w = d · (scale − 32) · (q − 4), q with its third bit */
export function dequantizeQ3K(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, to = 0; at < bytes.length; at += 110, to += 256) {
		const d = halfAt(bytes, at + 108);
		for (let group = 0; group < 16; group++) {
			const low = bytes[at + 96 + (group & 7)] >> (group < 8 ? 0 : 4);
			const high = bytes[at + 104 + (group & 3)] >> (2 * (group >> 2));
			const step = d * (((low & 15) | ((high & 3) << 4)) - 32);
			const { from, shift } = twoBits(group);
			for (let l = 0; l < 16; l++) {
				const third = (bytes[at + (from & 16) + l] >> (group >> 1)) & 1;
				const q = (bytes[at + 32 + from + l] >> shift) & 3;
				out[to + group * 16 + l] = step * (q + 4 * third - 4);
			}
		}
	}
}

/** d, dmin, 12 bytes of six-bit scales and minimums, 128 of nibbles. w = d · scale · q − dmin · minimum */
export function dequantizeQ4K(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, to = 0; at < bytes.length; at += 144, to += 256) {
		const d = halfAt(bytes, at);
		const dmin = halfAt(bytes, at + 2);
		for (let group = 0; group < 8; group++) {
			const step = d * scaleOf(bytes, at + 4, group);
			const least = dmin * minimumOf(bytes, at + 4, group);
			const from = at + 16 + (group >> 1) * 32;
			const shift = 4 * (group & 1);
			for (let l = 0; l < 32; l++)
				out[to + group * 32 + l] =
					step * ((bytes[from + l] >> shift) & 15) - least;
		}
	}
}

/** Six-bit scales of q4_k and q5_k: the first four in the low bits of bytes 0..3, the rest in two pieces. */
function scaleOf(bytes: Uint8Array, at: number, group: number): number {
	if (group < 4) return bytes[at + group] & 63;
	return (bytes[at + group + 4] & 15) | ((bytes[at + group - 4] >> 6) << 4);
}

function minimumOf(bytes: Uint8Array, at: number, group: number): number {
	if (group < 4) return bytes[at + group + 4] & 63;
	return (bytes[at + group + 4] >> 4) | ((bytes[at + group] >> 6) << 4);
}

/** As q4_k with 32 bytes of fifth bits before the nibbles. */
export function dequantizeQ5K(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, to = 0; at < bytes.length; at += 176, to += 256) {
		const d = halfAt(bytes, at);
		const dmin = halfAt(bytes, at + 2);
		for (let group = 0; group < 8; group++) {
			const step = d * scaleOf(bytes, at + 4, group);
			const least = dmin * minimumOf(bytes, at + 4, group);
			const from = at + 48 + (group >> 1) * 32;
			const shift = 4 * (group & 1);
			for (let l = 0; l < 32; l++) {
				const fifth = (bytes[at + 16 + l] >> group) & 1;
				const q = ((bytes[from + l] >> shift) & 15) | (fifth << 4);
				out[to + group * 32 + l] = step * q - least;
			}
		}
	}
}

/** 128 bytes of nibbles, 64 of two more bits, 16 int8 scales, d. w = d · scale · (q − 32) */
export function dequantizeQ6K(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, to = 0; at < bytes.length; at += 210, to += 256) {
		const d = halfAt(bytes, at + 208);
		for (let group = 0; group < 16; group++) {
			const step = d * ((bytes[at + 192 + group] << 24) >> 24);
			const half = group >> 3; // 128 elements share 64 bytes of nibbles and 32 of high bits
			const part = (group & 7) >> 1; // 32 elements: which nibble, which two bits
			const within = (group & 1) * 16;
			const low = at + half * 64 + (part & 1) * 32 + within;
			const high = at + 128 + half * 32 + within;
			for (let l = 0; l < 16; l++) {
				const nibble = (bytes[low + l] >> (4 * (part >> 1))) & 15;
				const bits = (bytes[high + l] >> (2 * part)) & 3;
				out[to + group * 16 + l] = step * ((nibble | (bits << 4)) - 32);
			}
		}
	}
}

/** d, 16 high bit pairs, 4 bytes of low nibbles of 8 scales, 128 bytes of nibbles. w = d · (scale − 32) · level(q) */
export function dequantizeIq4Xs(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, to = 0; at < bytes.length; at += 136, to += 256) {
		const d = halfAt(bytes, at);
		const highs = bytes[at + 2] | (bytes[at + 3] << 8);
		for (let group = 0; group < 8; group++) {
			const low = (bytes[at + 4 + (group >> 1)] >> (4 * (group & 1))) & 15;
			const step = d * ((low | (((highs >> (2 * group)) & 3) << 4)) - 32);
			const from = at + 8 + group * 16;
			for (let j = 0; j < 16; j++) {
				out[to + group * 32 + j] = step * IQ4_LEVELS[bytes[from + j] & 15];
				out[to + group * 32 + 16 + j] = step * IQ4_LEVELS[bytes[from + j] >> 4];
			}
		}
	}
}
