/**
 * config.json's quantization_config → how a checkpoint stores its linear layers, checked. Knows no tensors: which layers are quantized
 * the files themselves say, so lists of layers left plain (`ignore`, `modules_to_not_convert`) need no reading.
 */
import { parseSchemes, type Scheme } from "./compressed-tensors-config.ts";
import { quantizationEntry } from "./quantization-entry.ts";
import {
	invalidConfig,
	type Json,
	oneOf,
	parseBlocks,
	parseGroupSize,
	unsupportedConfig,
} from "./quantization-fields.ts";
import { isRecord, show } from "./safetensors-header.ts";

export type QuantizationConfig =
	| {
			readonly method: "gptq";
			readonly bits: number;
			/** null: one group for all inputs. */
			readonly groupSize: number | null;
			/** What a stored zero point lacks: 1, or 0 in gptq_v2. */
			readonly zeroOffset: 0 | 1;
			/** Groups follow the order of activations: each layer has an index of them. */
			readonly actOrder: boolean;
	  }
	| {
			readonly method: "awq";
			readonly bits: number;
			readonly groupSize: number | null;
	  }
	| {
			readonly method: "compressed-tensors";
			readonly schemes: readonly Scheme[];
	  }
	| {
			readonly method: "fp8";
			/** Absent: one scale a tensor or a row, as the files say. */
			readonly blocks: readonly [number, number] | null;
	  }
	| { readonly method: "mxfp4" };

const METHODS =
	"awq, compressed-tensors, fbgemm_fp8, fp8, gptq, modelopt, mxfp4";

/**
 * The quantization_config of a parsed config.json, null where it has none. Multimodal models may keep it with the text model; old
 * compressed-tensors checkpoints call it compression_config.
 * @throws invalid_model_config, unsupported_model
 */
export function findQuantizationConfig(
	json: unknown,
): QuantizationConfig | null {
	const found = quantizationEntry(json);
	return found === null ? null : parseQuantizationConfig(found);
}

/** @throws invalid_model_config, unsupported_model */
export function parseQuantizationConfig(json: unknown): QuantizationConfig {
	if (!isRecord(json))
		throw invalidConfig(`must be an object, got ${show(json)}`);
	const method = json.quant_method;
	switch (method) {
		case "gptq":
			return parseGptq(json);
		case "awq":
			return parseAwq(json);
		case "compressed-tensors":
			return { method, schemes: parseSchemes(json) };
		case "fp8":
			return { method, blocks: parseBlocks(json.weight_block_size) };
		// FBGEMM's and ModelOpt's checkpoints have the same tensors, a scale a row and one for all.
		case "fbgemm_fp8":
			return { method: "fp8", blocks: null };
		case "modelopt":
			checkModelOpt(json.quant_algo);
			return { method: "fp8", blocks: null };
		case "mxfp4":
			return { method };
		default:
			throw unsupportedConfig(
				`quant_method ${show(method)} is not supported, only ${METHODS}`,
			);
	}
}

/** ModelOpt names the form by an algorithm. */
function checkModelOpt(algorithm: unknown): void {
	if (algorithm === "FP8") return;
	throw unsupportedConfig(
		`quant_algo ${show(algorithm)} of modelopt is not supported, only "FP8"`,
	);
}

function parseGptq(json: Json): QuantizationConfig {
	const bits = oneOf(json, "bits", [2, 4, 8]);
	const groupSize = parseGroupSize(json.group_size);
	checkDynamic(json.dynamic, { bits, group_size: json.group_size });
	const format = json.checkpoint_format ?? json.format ?? "gptq";
	if (json.is_marlin_format === true || !isGptqFormat(format))
		throw unsupportedConfig(
			`checkpoint_format ${show(json.is_marlin_format === true ? "marlin" : format)} is not supported, only "gptq" and "gptq_v2"`,
		);
	return {
		method: "gptq",
		bits,
		groupSize,
		zeroOffset: format === "gptq" ? 1 : 0,
		actOrder: json.desc_act === true,
	};
}

function isGptqFormat(format: unknown): boolean {
	return format === "gptq" || format === "gptq_v2";
}

/** GPTQModel's `dynamic` gives layers that match a pattern options of their own; "-:" patterns are layers left plain. */
function checkDynamic(dynamic: unknown, general: Json): void {
	if ((dynamic ?? null) === null) return;
	if (!isRecord(dynamic))
		throw invalidConfig(`dynamic must be an object, got ${show(dynamic)}`);
	for (const [pattern, options] of Object.entries(dynamic)) {
		if (pattern.startsWith("-:") || !isRecord(options)) continue;
		for (const [key, value] of Object.entries(general))
			if (key in options && options[key] !== value)
				throw unsupportedConfig(
					`dynamic: bits and group_size must be the same for all layers, ${show(pattern)} has ${key} ${show(options[key])}`,
				);
	}
}

function parseAwq(json: Json): QuantizationConfig {
	const bits = oneOf(json, json.bits === undefined ? "w_bit" : "bits", [4]);
	const version = json.version ?? json.format ?? "gemm";
	if (typeof version !== "string" || version.toLowerCase() !== "gemm")
		throw unsupportedConfig(
			`version ${show(version)} of awq is not supported, only "gemm"`,
		);
	if ((json.zero_point ?? true) !== true)
		throw unsupportedConfig(
			`awq without zero points (zero_point ${show(json.zero_point)}) is not supported`,
		);
	return {
		method: "awq",
		bits,
		groupSize: parseGroupSize(json.group_size ?? json.q_group_size),
	};
}
