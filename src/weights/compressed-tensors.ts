/**
 * Linear layers as the compressed-tensors package writes them, row-major [out, in]: X.weight_packed (pack-quantized), X.weight as I8
 * (int-quantized) or 8-bit floats (float-quantized), with X.weight_scale and, by kind, X.weight_zero_point, X.weight_shape, X.weight_g_idx.
 */
import type { Scheme } from "./compressed-tensors-config.ts";
import { fp8Tensor, isFloat8Weight } from "./fp8.ts";
import { packedTensor } from "./packed-rows.ts";
import { unsupportedConfig } from "./quantization-fields.ts";
import type { RawTensors } from "./safetensors.ts";
import { type HeaderEntry, show } from "./safetensors-header.ts";
import { fitGrid, readBlocks, scaleDtypes } from "./scale-grid.ts";
import { scaledRowsTensor } from "./scaled-rows.ts";
import {
	companion,
	matrixShape,
	type VirtualTensor,
	type VirtualTensors,
} from "./virtual-tensor.ts";

export function compressedTensors(
	raw: RawTensors,
	schemes: readonly Scheme[],
): VirtualTensors {
	const ofKind = (kind: Scheme["kind"], name: string): readonly Scheme[] => {
		const found = schemes.filter((scheme) => scheme.kind === kind);
		if (found.length > 0) return found;
		throw unsupportedConfig(
			`config_groups: wanted a group that tells how ${show(name)} is stored (${kind}), found none`,
		);
	};
	const tensors = new Map<string, () => VirtualTensor>();
	for (const entry of raw.entries.values()) {
		const { name, dtype } = entry;
		if (name.endsWith(".weight_packed"))
			tensors.set(name.slice(0, -"_packed".length), () =>
				packedTensor(raw, entry, ofKind("packed", name)),
			);
		else if (dtype === "I8" && name.endsWith(".weight"))
			tensors.set(name, () => int8Tensor(raw, entry, ofKind("int8", name)));
		else if (isFloat8Weight(entry))
			tensors.set(name, () =>
				fp8Tensor(
					raw,
					entry,
					ofKind("float8", name).map((scheme) => scheme.scales),
				),
			);
	}
	return tensors;
}

/** @throws missing_tensor, shape_mismatch, unsupported_dtype */
function int8Tensor(
	raw: RawTensors,
	codes: HeaderEntry,
	schemes: readonly Scheme[],
): VirtualTensor {
	const { name } = codes;
	const [rows, columns] = matrixShape(codes);
	const layouts = schemes.map((scheme) => scheme.scales);
	const scale = companion(raw, `${name}_scale`, name, scaleDtypes);
	const scales = fitGrid(scale, layouts, rows, columns);
	const zeroName = `${name}_zero_point`;
	const hasZeros =
		raw.entries.has(zeroName) || schemes.every((s) => !s.symmetric);
	const zeros = hasZeros
		? fitGrid(companion(raw, zeroName, name, ["I8"]), layouts, rows, columns)
		: null;
	return scaledRowsTensor(raw, {
		name,
		rows,
		columns,
		codes,
		scales,
		readZeros:
			zeros &&
			(async (start, end, signal) => {
				const bytes = await readBlocks(raw, zeros, start, end, signal);
				return Float32Array.from(bytes, (byte) => int8[byte]);
			}),
		readColumnGroups: null,
		others: zeros ? [zeroName] : [],
		unpack: null,
		numbers: int8,
	});
}

/** Byte → the signed integer it is. */
const int8 = /* @__PURE__ */ Float32Array.from(
	{ length: 256 },
	(_, byte) => (byte << 24) >> 24,
);
