/**
 * Linear layers of 8-bit floats: X.weight F8_E4M3 or F8_E5M2 [out, in] beside X.weight_scale or X.weight_scale_inv, which in spite of its name
 * is a factor too. Layouts of transformers' `fp8` (DeepSeek-V3, Qwen3) and compressed-tensors' `float-quantized`.
 */
import { float8E4m3Table, float8E5m2Table } from "./float8.ts";
import type { RawTensors } from "./safetensors.ts";
import type { HeaderEntry } from "./safetensors-header.ts";
import { fitGrid, type ScaleLayout, scaleDtypes } from "./scale-grid.ts";
import { scaledRowsTensor } from "./scaled-rows.ts";
import {
	companion,
	matrixShape,
	type VirtualTensor,
	type VirtualTensors,
} from "./virtual-tensor.ts";

/** 8-bit floats of a block of [rows, columns], or of a row or a whole tensor where blocks are null. */
export function fp8Tensors(
	raw: RawTensors,
	blocks: readonly [number, number] | null,
): VirtualTensors {
	const layouts: ScaleLayout[] =
		blocks === null
			? [{ kind: "tensor" }, { kind: "channel" }]
			: [{ kind: "block", rows: blocks[0], columns: blocks[1] }];
	const tensors = new Map<string, () => VirtualTensor>();
	for (const entry of raw.entries.values())
		if (isFloat8Weight(entry))
			tensors.set(entry.name, () => fp8Tensor(raw, entry, layouts));
	return tensors;
}

export function isFloat8Weight({ name, dtype }: HeaderEntry): boolean {
	return (
		(dtype === "F8_E4M3" || dtype === "F8_E5M2") && name.endsWith(".weight")
	);
}

/** @throws missing_tensor, shape_mismatch, unsupported_dtype */
export function fp8Tensor(
	raw: RawTensors,
	codes: HeaderEntry,
	layouts: readonly ScaleLayout[],
): VirtualTensor {
	const { name, dtype } = codes;
	const [rows, columns] = matrixShape(codes);
	const inverse = `${name}_scale_inv`;
	const scaleName = raw.entries.has(inverse) ? inverse : `${name}_scale`;
	const scale = companion(raw, scaleName, name, scaleDtypes);
	const scales = fitGrid(scale, layouts, rows, columns);
	return scaledRowsTensor(raw, {
		name,
		rows,
		columns,
		codes,
		scales,
		readZeros: null,
		readColumnGroups: null,
		others: [],
		unpack: null,
		numbers: dtype === "F8_E4M3" ? e4m3 : e5m2,
	});
}

const e4m3: Float32Array = /* @__PURE__ */ float8E4m3Table();
const e5m2: Float32Array = /* @__PURE__ */ float8E5m2Table();
