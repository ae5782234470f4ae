/**
 * Conversion between f32, f16 and bf16 in plain loops. Knows nothing of tensors. Little-endian hosts, as every JavaScript engine's is.
 * Roundings are to nearest, ties to even (RNE). Where `out` is given it is filled and returned, else a new array is.
 */
import type { TensorDtype } from "../backends/backend.ts";
import { assert } from "../errors.ts";

export const bytesPerElement: Readonly<Record<TensorDtype, number>> = {
	f32: 4,
	f16: 2,
	bf16: 2,
};

/** A bf16 is the upper half of an f32: exact. */
export function bfloat16ToFloat32(
	source: Uint16Array,
	out: Float32Array = new Float32Array(source.length),
): Float32Array {
	const bits = new Uint32Array(out.buffer, out.byteOffset, source.length);
	for (let i = 0; i < source.length; i++) bits[i] = source[i] << 16;
	return out;
}

/** Exact. Denormals, infinities and NaNs keep their meaning. */
export function float16ToFloat32(
	source: Uint16Array,
	out: Float32Array = new Float32Array(source.length),
): Float32Array {
	const bits = new Uint32Array(out.buffer, out.byteOffset, source.length);
	for (let i = 0; i < source.length; i++)
		bits[i] = float32BitsOfHalf[source[i]];
	return out;
}

/** f16 pattern → f32 pattern, 256 KiB. */
const float32BitsOfHalf: Uint32Array = /* @__PURE__ */ makeHalfTable();

function makeHalfTable(): Uint32Array {
	const table = new Uint32Array(65536);
	const values = new Float32Array(table.buffer);
	for (let h = 0; h < 65536; h++) {
		const sign = (h & 0x8000) << 16;
		const exponent = (h >>> 10) & 31;
		const fraction = h & 0x3ff;
		if (exponent === 31) table[h] = sign | 0x7f800000 | (fraction << 13);
		else if (exponent > 0)
			table[h] = sign | ((exponent + 112) << 23) | (fraction << 13);
		else values[h] = (sign ? -1 : 1) * fraction * 2 ** -24;
	}
	return table;
}

/** RNE; finite values above the largest bf16 become infinite, NaN stays NaN. */
export function float32ToBfloat16(
	source: Float32Array,
	out: Uint16Array = new Uint16Array(source.length),
): Uint16Array {
	const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
	for (let i = 0; i < bits.length; i++) {
		const u = bits[i];
		out[i] =
			(u & 0x7fffffff) > 0x7f800000
				? (u >>> 16) | 0x40
				: (u + 0x7fff + ((u >>> 16) & 1)) >>> 16;
	}
	return out;
}

/** Largest finite half. */
export const MAX_HALF = 65504;

/** RNE; NaN stays NaN. `numOverflowed` counts the finite values of 65,520 and more, which become infinite. */
export function float32ToFloat16(
	source: Float32Array,
	out: Uint16Array = new Uint16Array(source.length),
): { values: Uint16Array; numOverflowed: number } {
	const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
	let numOverflowed = 0;
	for (let i = 0; i < bits.length; i++) {
		const sign = (bits[i] >>> 16) & 0x8000;
		const u = bits[i] & 0x7fffffff;
		let half: number;
		if (u >= 0x477ff000) {
			if (u > 0x7f800000) half = 0x7e00;
			else {
				half = 0x7c00;
				if (u < 0x7f800000) numOverflowed++;
			}
		} else if (u >= 0x38800000) {
			half = (u - 0x38000000 + 0xfff + ((u >>> 13) & 1)) >>> 13;
		} else half = denormalHalf(u);
		out[i] = sign | half;
	}
	return { values: out, numOverflowed };
}

/** Magnitude bits of an f32 below 2^-14 → f16, in units of 2^-24. */
function denormalHalf(u: number): number {
	const shift = 126 - (u >>> 23);
	if (shift > 24) return 0;
	const significand = (u & 0x7fffff) | 0x800000;
	const half = significand >>> shift;
	const rest = significand & ((1 << shift) - 1);
	const tie = 1 << (shift - 1);
	return rest > tie || (rest === tie && (half & 1) === 1) ? half + 1 : half;
}

/**
 * Raw little-endian bytes → f32. Without `out`, aligned f32 bytes come back as a view of themselves: nothing is copied.
 * Any byteOffset will do.
 */
export function toFloat32(
	bytes: Uint8Array,
	dtype: TensorDtype,
	out?: Float32Array,
): Float32Array {
	switch (dtype) {
		case "bf16":
			return bfloat16ToFloat32(view16(bytes), out);
		case "f16":
			return float16ToFloat32(view16(bytes), out);
		case "f32": {
			const values = viewFloat32(bytes);
			if (!out) return values;
			out.set(values);
			return out;
		}
		default:
			return dtype satisfies never;
	}
}

/** Index of the first element that is infinite or NaN. */
export function findNonFinite(
	bytes: Uint8Array,
	dtype: TensorDtype,
): number | undefined {
	switch (dtype) {
		case "bf16":
			return findExponent(view16(bytes), 0x7f80);
		case "f16":
			return findExponent(view16(bytes), 0x7c00);
		case "f32": {
			const { buffer, byteOffset, length } = viewFloat32(bytes);
			return findExponent(
				new Uint32Array(buffer, byteOffset, length),
				0x7f800000,
			);
		}
		default:
			return dtype satisfies never;
	}
}

/** First element whose exponent bits, `mask`, are all set. */
function findExponent(
	values: Uint16Array | Uint32Array,
	mask: number,
): number | undefined {
	for (let i = 0; i < values.length; i++)
		if ((values[i] & mask) === mask) return i;
	return undefined;
}

function view16(bytes: Uint8Array): Uint16Array {
	const { buffer, byteOffset, byteLength } = aligned(bytes, 2);
	return new Uint16Array(buffer, byteOffset, byteLength / 2);
}

function viewFloat32(bytes: Uint8Array): Float32Array {
	const { buffer, byteOffset, byteLength } = aligned(bytes, 4);
	return new Float32Array(buffer, byteOffset, byteLength / 4);
}

/** The same bytes at a byteOffset that a typed array accepts. */
function aligned(bytes: Uint8Array, size: number): Uint8Array {
	assert(
		bytes.byteLength % size === 0,
		`${bytes.byteLength} bytes are no whole number of elements of ${size}`,
	);
	return bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
}
