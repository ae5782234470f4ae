/** The weight formats of the CPU kernels and what a panel and a group take in memory. Numbers as in assembly/format.ts. */
import type { StoredDtype, TensorDtype } from "../backend.ts";

export type WeightFormat = TensorDtype | "q8_0" | "q4_0";

interface FormatInfo {
	readonly id: number;
	/** Columns per step along K. */
	readonly blockColumns: number;
	/** Bytes one step takes in a panel of 16 output columns. */
	readonly panelStep: number;
	/** Bytes one step takes in a group of 4 activation rows. */
	readonly groupStep: number;
}

export const FORMATS: Readonly<Record<WeightFormat, FormatInfo>> = {
	f32: { id: 0, blockColumns: 1, panelStep: 64, groupStep: 16 },
	f16: { id: 1, blockColumns: 1, panelStep: 32, groupStep: 16 },
	bf16: { id: 2, blockColumns: 1, panelStep: 32, groupStep: 16 },
	q8_0: { id: 3, blockColumns: 32, panelStep: 544, groupStep: 272 },
	q4_0: { id: 4, blockColumns: 32, panelStep: 288, groupStep: 160 },
};

/** Output columns of a panel, activation rows of a group. */
export const PANEL_COLUMNS = 16;
export const GROUP_ROWS = 4;

/** Steps along K: blocks of a quantized format, columns of the others. */
export function depthOf(format: WeightFormat, columns: number): number {
	return Math.ceil(columns / FORMATS[format].blockColumns);
}

export function panelBytes(format: WeightFormat, columns: number): number {
	return depthOf(format, columns) * FORMATS[format].panelStep;
}

export function groupBytes(format: WeightFormat, columns: number): number {
	return depthOf(format, columns) * FORMATS[format].groupStep;
}

export function isWeightFormat(dtype: StoredDtype): dtype is WeightFormat {
	return Object.hasOwn(FORMATS, dtype);
}

export function isQuantized(format: WeightFormat): format is "q8_0" | "q4_0" {
	return FORMATS[format].blockColumns > 1;
}
