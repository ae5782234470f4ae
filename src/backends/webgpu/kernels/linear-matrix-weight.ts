/**
 * How a matrix kernel brings weights of each format into workgroup memory: 16 bytes a thread and load, turned to halves on
 * the way. Knows nothing of what is multiplied.
 */
import type { MatrixFormat } from "../layout.ts";

/** Elements of a weight in a vec4<u32>. */
export const ELEMENTS: Readonly<
	Record<Exclude<MatrixFormat, "f32">, 8 | 16 | 32>
> = { f16: 8, q8_0: 16, q4_0: 32 };

/**
 * Four halves, (byte − zero) · scale for each byte. 0x6400 | byte is the half 1024 + byte, so the difference is exact and
 * the product is rounded once. scale: a half, twice.
 */
export const SCALED_BYTES = `
fn scaledBytes(bytes: u32, zero: f32, scale: u32) -> vec2<u32> {
  let low = bitcast<vec2<f16>>((bytes & 0xffu) | ((bytes & 0xff00u) << 8u) | 0x64006400u);
  let high = bitcast<vec2<f16>>(((bytes >> 16u) & 0xffu) | ((bytes >> 8u) & 0xff0000u) | 0x64006400u);
  let offset = vec2<f16>(f16(1024.0 + zero));
  let factor = bitcast<vec2<f16>>(scale);
  return vec2<u32>(bitcast<u32>((low - offset) * factor), bitcast<u32>((high - offset) * factor));
}`;

const HALF_TWICE = `
fn halfTwice(word: u32, i: u32) -> u32 {
  let half = (word >> ((i & 1u) * 16u)) & 0xffffu;
  return half | (half << 16u);
}`;

/** Functions that the texts below call. */
export const weightFunctions = (format: MatrixFormat): string =>
	format === "f16" ? "" : SCALED_BYTES + HALF_TWICE;

/** The vec4<u32> of halves that vec4<u32> `raw` of a weight stands for, in order. scale: see SCALED_BYTES. */
export function weightHalves(
	format: MatrixFormat,
	raw: string,
	scale: string,
): string[] {
	const q8 = (i: string) =>
		`scaledBytes(${raw}.${i} ^ 0x80808080u, 128.0, ${scale})`;
	const q4 = (i: string, shift: number) =>
		`scaledBytes((${raw}.${i} >> ${shift}u) & 0x0f0f0f0fu, 8.0, ${scale})`;
	switch (format) {
		case "f16":
			return [raw];
		case "q8_0":
			return [
				`vec4<u32>(${q8("x")}, ${q8("y")})`,
				`vec4<u32>(${q8("z")}, ${q8("w")})`,
			];
		case "q4_0":
			return [0, 4].flatMap((shift) => [
				`vec4<u32>(${q4("x", shift)}, ${q4("y", shift)})`,
				`vec4<u32>(${q4("z", shift)}, ${q4("w", shift)})`,
			]);
		case "f32":
			throw new Error("linear-matrix: weights are f16, q8_0 or q4_0");
		default:
			return format satisfies never;
	}
}
