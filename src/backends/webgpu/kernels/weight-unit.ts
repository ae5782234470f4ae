/**
 * A unit is the 16 bytes of a matrix that one lane loads at a time; it is unpacked in registers. Quants are put into the fraction
 * of a half between one and two, which takes two shifts and masks for four of them and no conversion of integers: so
 * q = factor · (v − 1.5), and the 1.5 is taken off a whole sum, not each weight.
 */
import type { MatrixFormat } from "../layout.ts";
import { SCALE_OF } from "./weight-format.ts";

export interface Unit {
	readonly elements: number;
	/** WGSL type of the weight's array elements. */
	readonly type: string;
	/** vec4 of a unit that are unpacked together, as few as the words allow; those of x that lie in one load are together. */
	readonly pieces: readonly (readonly number[])[];
	/** The i-th vec4 of a unit. */
	readonly four: (unit: string, i: number) => string;
	readonly functions: string;
	/** Units of a block of 32 that has a scale; null without scales. */
	readonly perBlock: number | null;
	readonly factor: number;
}

/** What is to be taken off each v of a quantized format. */
export const BIASED_QUANTS = 1.5;

const xyzw = "xyzw";

export const UNITS: Readonly<Record<MatrixFormat, Unit>> = {
	f32: {
		elements: 4,
		type: "vec4<f32>",
		pieces: [[0]],
		four: (unit) => unit,
		functions: "",
		perBlock: null,
		factor: 1,
	},
	f16: {
		elements: 8,
		type: "vec4<u32>",
		pieces: [[0, 1]],
		four: (unit, i) => `halves4(${unit}.${i === 0 ? "xy" : "zw"})`,
		functions: "",
		perBlock: null,
		factor: 1,
	},
	q8_0: {
		elements: 16,
		type: "vec4<u32>",
		pieces: [
			[0, 1],
			[2, 3],
		],
		four: (unit, i) => `bytes4(${unit}.${xyzw[i]})`,
		functions: `${SCALE_OF}
// 1 + (q + 128) / 256
fn bytes4(w: u32) -> vec4<f32> {
  let even = unpack2x16float(((w << 2u) & 0x03fc03fcu) ^ 0x3e003e00u);
  let odd = unpack2x16float(((w >> 6u) & 0x03fc03fcu) ^ 0x3e003e00u);
  return vec4<f32>(even.x, odd.x, even.y, odd.y);
}`,
		perBlock: 2,
		factor: 256,
	},
	q4_0: {
		elements: 32,
		type: "vec4<u32>",
		pieces: [
			[0, 1, 4, 5],
			[2, 3, 6, 7],
		],
		four: (unit, i) =>
			`${i < 4 ? "lowNibbles4" : "highNibbles4"}(${unit}.${xyzw[i % 4]})`,
		functions: `${SCALE_OF}
// 1 + q / 16
fn lowNibbles4(w: u32) -> vec4<f32> {
  let even = unpack2x16float(((w << 6u) & 0x03c003c0u) | 0x3c003c00u);
  let odd = unpack2x16float(((w >> 2u) & 0x03c003c0u) | 0x3c003c00u);
  return vec4<f32>(even.x, odd.x, even.y, odd.y);
}
fn highNibbles4(w: u32) -> vec4<f32> {
  let even = unpack2x16float(((w << 2u) & 0x03c003c0u) | 0x3c003c00u);
  let odd = unpack2x16float(((w >> 6u) & 0x03c003c0u) | 0x3c003c00u);
  return vec4<f32>(even.x, odd.x, even.y, odd.y);
}`,
		perBlock: 1,
		factor: 16,
	},
};
