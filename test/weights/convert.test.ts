/** Conversions over every 16-bit pattern, and around every rounding boundary, against the language's own Float16Array and f64 distances. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
	bfloat16ToFloat32,
	findNonFinite,
	float16ToFloat32,
	float32ToBfloat16,
	float32ToFloat16,
	toFloat32,
} from "../../src/weights/convert.ts";

const allPatterns = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** value of a bf16 pattern, from the definition of the format */
function bfloat16Value(pattern: number): number {
	const sign = pattern & 0x8000 ? -1 : 1;
	const exponent = (pattern >> 7) & 255;
	const fraction = pattern & 127;
	if (exponent === 255) return fraction ? Number.NaN : sign * Infinity;
	if (exponent === 0) return sign * fraction * 2 ** -133;
	return sign * (128 + fraction) * 2 ** (exponent - 134);
}

function assertSameValues(
	got: ArrayLike<number>,
	wanted: ArrayLike<number>,
): void {
	assert.equal(got.length, wanted.length);
	for (let i = 0; i < got.length; i++)
		if (!Object.is(got[i], wanted[i]))
			assert.fail(`element ${i}: wanted ${wanted[i]}, got ${got[i]}`);
}

test("bf16 → f32, all 65,536 patterns", () => {
	const wanted = Array.from(allPatterns, bfloat16Value);
	assertSameValues(bfloat16ToFloat32(allPatterns), wanted);
});

test("f16 → f32, all 65,536 patterns", () => {
	const wanted = new Float16Array(allPatterns.buffer);
	assertSameValues(float16ToFloat32(allPatterns), wanted);
});

test("f32 → bf16 takes every bf16 value back to its pattern", () => {
	const back = float32ToBfloat16(bfloat16ToFloat32(allPatterns));
	for (const pattern of allPatterns) {
		if (Number.isNaN(bfloat16Value(pattern)))
			assert.ok(Number.isNaN(bfloat16Value(back[pattern])), `NaN ${pattern}`);
		else assert.equal(back[pattern], pattern);
	}
});

test("f32 → f16 takes every f16 value back to its pattern", () => {
	const { values, numOverflowed } = float32ToFloat16(
		float16ToFloat32(allPatterns),
	);
	assert.equal(numOverflowed, 0);
	const wanted = new Float16Array(allPatterns.buffer);
	assertSameValues(new Float16Array(values.buffer as ArrayBuffer), wanted);
});

/** Each finite pattern's value, the midpoint to its neighbour, and the f32 just beside both: where rounding can go wrong. */
function boundaries(
	patterns: Iterable<number>,
	toValue: (pattern: number) => number,
): Float32Array {
	const out: number[] = [];
	const bits = new Uint32Array(1);
	const float = new Float32Array(bits.buffer);
	for (const pattern of patterns) {
		const here = toValue(pattern);
		const next = toValue(pattern + 1);
		if (!Number.isFinite(here) || !Number.isFinite(next)) continue;
		for (const point of [here, (here + next) / 2]) {
			float[0] = point;
			const middle = bits[0];
			for (const step of [-1, 0, 1]) {
				bits[0] = middle + step;
				out.push(float[0]);
			}
		}
	}
	return Float32Array.from(out);
}

test("f32 → f16 rounds to nearest even at every boundary", () => {
	const halves = new Float16Array(allPatterns.buffer);
	const inputs = boundaries(allPatterns, (pattern) => halves[pattern]);
	const { values } = float32ToFloat16(inputs);
	assertSameValues(
		new Float16Array(values.buffer as ArrayBuffer),
		Float16Array.from(inputs),
	);
});

test("f32 → bf16 rounds to nearest even at every boundary", () => {
	const inputs = boundaries(allPatterns, bfloat16Value);
	const got = float32ToBfloat16(inputs);
	inputs.forEach((input, i) => {
		if (Number.isNaN(input)) return;
		const error = Math.abs(bfloat16Value(got[i]) - input);
		for (const other of [got[i] - 1, got[i] + 1]) {
			const otherError = Math.abs(bfloat16Value(other & 0xffff) - input);
			const isTieToOdd = otherError === error && (got[i] & 1) === 1;
			assert.ok(
				!(otherError < error) && !isTieToOdd,
				`${input} became ${bfloat16Value(got[i])}`,
			);
		}
	});
});

test("f32 → f16 agrees with Math.f16round on any f32", () => {
	fc.assert(
		fc.property(fc.array(fc.float(), { maxLength: 50 }), (numbers) => {
			const { values } = float32ToFloat16(Float32Array.from(numbers));
			assertSameValues(
				float16ToFloat32(values),
				numbers.map((value) => Math.f16round(value)),
			);
		}),
	);
});

test("f32 → f16 counts finite values that do not fit, and only those", () => {
	const inputs = [65504, 65519.99, 65520, -65520, 3e38, Infinity, -Infinity];
	const { values, numOverflowed } = float32ToFloat16(
		Float32Array.from([...inputs, Number.NaN]),
	);
	// 65519.99 is 65519.992 in f32, still nearer to 65504.
	assert.deepEqual(
		[...float16ToFloat32(values)],
		[65504, 65504, Infinity, -Infinity, Infinity, Infinity, -Infinity, NaN],
	);
	assert.equal(numOverflowed, 3);
});

test("f32 → bf16 of the largest f32 is infinite, of any NaN a NaN", () => {
	const bits = Uint32Array.of(
		0x7f7fffff,
		0xff7fffff,
		0x7f800001,
		0x7fffffff,
		0xffffffff,
		0xff800001,
	);
	const got = float32ToBfloat16(new Float32Array(bits.buffer));
	assert.deepEqual(Array.from(got, bfloat16Value), [
		Infinity,
		-Infinity,
		NaN,
		NaN,
		NaN,
		NaN,
	]);
});

test("toFloat32 reads at any byteOffset, and into a given array", () => {
	const wanted = [1.5, -2, 0.25];
	const f32 = new Uint8Array(Float32Array.from(wanted).buffer);
	const f16 = new Uint8Array(Float16Array.from(wanted).buffer);
	const bf16 = new Uint8Array(
		float32ToBfloat16(Float32Array.from(wanted)).buffer,
	);
	for (const [dtype, bytes] of [
		["f32", f32],
		["f16", f16],
		["bf16", bf16],
	] as const)
		for (let offset = 0; offset < 5; offset++) {
			const shifted = new Uint8Array(offset + bytes.length + 3).subarray(
				offset,
				offset + bytes.length,
			);
			shifted.set(bytes);
			assert.deepEqual([...toFloat32(shifted, dtype)], wanted);
			const shared = new Float32Array(new SharedArrayBuffer(12));
			assert.equal(toFloat32(shifted, dtype, shared), shared);
			assert.deepEqual([...shared], wanted);
		}
});

test("toFloat32 refuses a part of an element", () => {
	assert.throws(() => toFloat32(new Uint8Array(3), "bf16"), /whole number/);
});

test("findNonFinite gives the first infinite or NaN element", () => {
	for (const bad of [NaN, Infinity, -Infinity]) {
		const values = [0, -1, 65504, bad, 1, bad];
		const f32 = Float32Array.from(values);
		assert.equal(findNonFinite(new Uint8Array(f32.buffer), "f32"), 3);
		const f16 = Float16Array.from(values);
		assert.equal(findNonFinite(new Uint8Array(f16.buffer), "f16"), 3);
		const bf16 = float32ToBfloat16(f32);
		assert.equal(findNonFinite(new Uint8Array(bf16.buffer), "bf16"), 3);
	}
	const finite = Float32Array.of(0, 3.4e38, -1e-45);
	assert.equal(findNonFinite(new Uint8Array(finite.buffer), "f32"), undefined);
	assert.equal(findNonFinite(new Uint8Array(0), "bf16"), undefined);
});
