/** config_groups of a compressed-tensors checkpoint → schemes, checked. Knows no tensors. After the package's QuantizationConfig. */
import {
	invalidConfig,
	type Json,
	oneOf,
	parseBlocks,
	parseGroupSize,
	unsupportedConfig,
} from "./quantization-fields.ts";
import { isRecord, show } from "./safetensors-header.ts";
import type { ScaleLayout } from "./scale-grid.ts";

/** How one kind of layer of a compressed-tensors checkpoint is stored. */
export interface Scheme {
	/** Integers packed in words of 32 bits, integers of 8 bits, or floats of 8. */
	readonly kind: "packed" | "int8" | "float8";
	readonly bits: number;
	readonly symmetric: boolean;
	/** Groups follow the order of activations: each layer has an index of them. */
	readonly actOrder: boolean;
	readonly scales: ScaleLayout;
}

/** Groups whose weights are not quantized give no scheme. @throws invalid_model_config, unsupported_model */
export function parseSchemes(json: Json): Scheme[] {
	checkSparsity(json.sparsity_config);
	const groups = json.config_groups;
	if (!isRecord(groups))
		throw invalidConfig(
			`config_groups must be an object of groups, got ${show(groups)}`,
		);
	const schemes: Scheme[] = [];
	for (const [name, group] of Object.entries(groups)) {
		if (!isRecord(group))
			throw invalidConfig(`${name} must be an object, got ${show(group)}`);
		const format = group.format ?? json.format;
		if ((group.weights ?? null) === null || format === "dense") continue;
		if (!isRecord(group.weights))
			throw invalidConfig(
				`${name}: weights must be an object, got ${show(group.weights)}`,
			);
		schemes.push(parseScheme(format, group.weights));
	}
	return schemes;
}

function checkSparsity(value: unknown): void {
	const format = isRecord(value) ? (value.format ?? "dense") : "dense";
	if (format === "dense") return;
	throw unsupportedConfig(
		`sparse weights (${show(format)}) are not supported, only dense ones`,
	);
}

function parseScheme(format: unknown, weights: Json): Scheme {
	const kind = kindOf(format, weights.type);
	const symmetric = weights.symmetric ?? true;
	if (typeof symmetric !== "boolean")
		throw invalidConfig(
			`symmetric must be true or false, got ${show(symmetric)}`,
		);
	const bits = oneOf(weights, "num_bits", kind === "packed" ? [4, 8] : [8]);
	return {
		kind,
		bits,
		symmetric,
		actOrder: parseActOrder(weights.actorder),
		scales: parseScales(weights),
	};
}

/** Activations may also order a layer while it is quantized and leave no trace: "weight", once called "static". */
function parseActOrder(value: unknown): boolean {
	switch (value ?? false) {
		case false:
		case "weight":
		case "static":
			return false;
		case true:
		case "group":
		case "dynamic":
			return true;
		default:
			throw unsupportedConfig(
				`actorder ${show(value)} is not supported, only "group" and "weight"`,
			);
	}
}

function kindOf(format: unknown, type: unknown): Scheme["kind"] {
	const isFloat = type === "float";
	if (format === "pack-quantized" && !isFloat) return "packed";
	if (format === "int-quantized" && !isFloat) return "int8";
	if (format === "float-quantized" && isFloat) return "float8";
	if (format === "naive-quantized") return isFloat ? "float8" : "int8";
	throw unsupportedConfig(
		`format ${show(format)} of type ${show(type)} is not supported, only pack-quantized and int-quantized of type "int", float-quantized of type "float"`,
	);
}

/** Without a strategy the size of groups decides, as in the package. */
function parseScales(weights: Json): ScaleLayout {
	const groupSize = weights.group_size ?? null;
	const strategy: unknown =
		weights.strategy ?? (groupSize === null ? "tensor" : "group");
	switch (strategy) {
		case "tensor":
		case "channel":
			return { kind: strategy };
		case "group": {
			const size = parseGroupSize(groupSize);
			return size === null ? { kind: "channel" } : { kind: "group", size };
		}
		case "block": {
			const blocks = parseBlocks(weights.block_structure);
			if (blocks === null)
				throw invalidConfig("strategy block wants a block_structure, got none");
			return { kind: "block", rows: blocks[0], columns: blocks[1] };
		}
		default:
			throw unsupportedConfig(
				`strategy ${show(strategy)} is not supported, only tensor, channel, group, block`,
			);
	}
}
