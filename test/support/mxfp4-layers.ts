/** Numbers → MXFP4 as gpt-oss stores its experts, by the format's definition, value by value. Shares no code with the reader. */
import { bytesOf, type Tensors } from "./quantized-layers.ts";

/** E2M1: what codes 0 to 7 stand for; 8 more is minus. */
const SIZES = [0, 0.5, 1, 1.5, 2, 3, 4, 6];

export interface Mxfp4 {
	/** NAME_blocks U8 [E, R, C / 32, 16] and NAME_scales U8 [E, R, C / 32]. */
	readonly tensors: Tensors;
	/** What they stand for: [E, C, R], as a checkpoint of plain numbers has the experts. */
	readonly values: Float32Array;
}

/** values: f32 [E, C, R], columns first; every 32 columns of a row share a power of two, so that the largest is between 4 and 8 of its steps. */
export function packMxfp4(
	name: string,
	values: Float32Array,
	[experts, columns, rows]: readonly [number, number, number],
): Mxfp4 {
	const numBlocks = columns / 32;
	const at = (e: number, r: number, c: number) => (e * columns + c) * rows + r;
	const scales = new Int32Array(experts * rows * numBlocks);
	const codes = new Uint8Array(values.length);
	const stood = new Float32Array(values.length);
	for (let e = 0; e < experts; e++)
		for (let r = 0; r < rows; r++)
			for (let c = 0; c < columns; c++) {
				const row = e * rows + r;
				const block = row * numBlocks + Math.floor(c / 32);
				if (c % 32 === 0) {
					const most = Math.max(
						...Array.from({ length: 32 }, (_, i) =>
							Math.abs(values[at(e, r, c + i)]),
						),
					);
					scales[block] = 127 - 2 + Math.floor(Math.log2(most));
				}
				const step = 2 ** (scales[block] - 127);
				const value = values[at(e, r, c)];
				const size = nearest(Math.abs(value) / step);
				codes[row * columns + c] = value < 0 ? size + 8 : size;
				stood[at(e, r, c)] = Math.sign(value) * SIZES[size] * step;
			}
	const lines = experts * rows;
	return {
		tensors: {
			[`${name}_blocks`]: bytesOf(
				"U8",
				[lines, columns / 2],
				(line, i) =>
					codes[line * columns + 2 * i] |
					(codes[line * columns + 2 * i + 1] << 4),
				[experts, rows, numBlocks, 16],
			),
			[`${name}_scales`]: bytesOf(
				"U8",
				[lines, numBlocks],
				(line, block) => scales[line * numBlocks + block],
				[experts, rows, numBlocks],
			),
		},
		values: stood,
	};
}

function nearest(size: number): number {
	const distances = SIZES.map((it) => Math.abs(it - size));
	return distances.indexOf(Math.min(...distances));
}
