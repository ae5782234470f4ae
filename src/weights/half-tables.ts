/**
 * Codes of a few bits → f16 by table: a row has one table for each of its groups, so each product is computed and rounded once, not once
 * an element. Knows no layout: codes are bytes, whatever a file packs them into.
 */
import { float32ToFloat16 } from "./convert.ts";
import { notFinite } from "./virtual-tensor.ts";

export interface HalfTables {
	/**
	 * Group g takes scales[first + g · step] and zeros[first + g · step], null being 0: f16(f32(scale · (number − zero))) for every code,
	 * with an error of 2^-12 of the value at most, 2^-25 where it is less than 2^-14.
	 */
	fill(
		scales: Float32Array,
		zeros: Float32Array | null,
		first: number,
		step: number,
	): void;
	/** A row of codes, of which groups[i] is the i-th's group. @throws nan_weights */
	lookUp(codes: Uint8Array, groups: Int32Array, out: Uint16Array): void;
}

/** `numbers`: what each code stands for before scaling, 2^bits of them. `name`: of the tensor, for messages. */
export function createHalfTables(
	name: string,
	numbers: Float32Array,
	numGroups: number,
): HalfTables {
	const numCodes = numbers.length;
	const bits = Math.log2(numCodes);
	const values = new Float32Array(numGroups * numCodes);
	const halves = new Uint16Array(numGroups * numCodes);
	return {
		fill(scales, zeros, first, step) {
			for (let g = 0; g < numGroups; g++) {
				const scale = scales[first + g * step];
				const zero = zeros === null ? 0 : zeros[first + g * step];
				for (let code = 0; code < numCodes; code++)
					values[g * numCodes + code] = scale * (numbers[code] - zero);
			}
			float32ToFloat16(values, halves);
		},
		lookUp(codes, groups, out) {
			let seen = 0;
			for (let i = 0; i < codes.length; i++) {
				const half = halves[(groups[i] << bits) | codes[i]];
				// The sum reaches bit 15 where all bits of the exponent are set.
				seen |= (half & 0x7c00) + 0x400;
				out[i] = half;
			}
			if (seen & 0x8000)
				throw notFinite(
					name,
					"a value is not a finite number, or beyond 65,504, the largest f16",
				);
		},
	};
}

/** The group of each of `length` elements where groups of `size` are in order. */
export function groupsInOrder(length: number, size: number): Int32Array {
	return Int32Array.from({ length }, (_, i) => i / size);
}
