/** In which format each matrix is kept, what a program then takes of memory, and what to do where that is too much. Allocates nothing. */
import { isBlockDtype } from "../../weights/ggml-blocks.ts";
import type {
	Limits,
	MemoryNeed,
	StoredDtype,
	WeightSource,
} from "../backend.ts";
import type { Op, Program, Weight } from "../program.ts";
import type { CpuOptions } from "./backend.ts";
import { isWeightFormat, type WeightFormat } from "./format.ts";
import { cacheRoom, type LayoutOptions, memoryNeed, mib } from "./layout.ts";

type FormatOptions = Pick<CpuOptions, "quantization" | "dtype">;
type Tensors = Pick<WeightSource, "tensors">;

/** Quantized embeddings and output head keep 8 bits under q4_0: every token passes through them. */
export function formatsOf(
	{ tensors }: Tensors,
	{ quantization, dtype }: FormatOptions,
): LayoutOptions["formatOf"] {
	return (weight: Weight, op: Op): WeightFormat => {
		if (quantization === "q4_0" && (op.op === "embed" || op.op === "logits"))
			return "q8_0";
		if (quantization !== null) return quantization;
		if (dtype !== "auto") return dtype;
		return formatOfStored(
			weight.parts.map(({ tensor }) => tensors.get(tensor)?.dtype ?? "bf16"),
		);
	};
}

/**
 * As the checkpoint has it where all parts are of one type we have kernels for. Parts of several plain types: f32, which holds them all.
 * Other block types: f16, whose rounding of at most 2^−11 of a weight is far below what the blocks have rounded already.
 */
function formatOfStored([first, ...others]: StoredDtype[]): WeightFormat {
	const types = [first, ...others];
	if (others.every((other) => other === first) && isWeightFormat(first))
		return first;
	const isHalf = (type: StoredDtype) => type === "f16" || isBlockDtype(type);
	return types.every(isHalf) ? "f16" : "f32";
}

/** Which quantizations make a program fit that does not, and what its weights then take: the end of an error. */
export function mendOf(
	program: Program,
	source: Tensors,
	{ quantization, dtype }: FormatOptions,
	options: LayoutOptions,
): string {
	const kept = quantization ?? dtype;
	const smaller = (["q8_0", "q4_0"] as const).slice(
		kept === "q4_0" ? 2 : kept === "q8_0" ? 1 : 0,
	);
	const named = smaller.map((format) => {
		const formatOf = formatsOf(source, { quantization: format, dtype });
		const need = memoryNeed(program, { ...options, formatOf });
		return {
			text: `quantization "${format}" (weights of ${mib(need.weightBytes)})`,
			fits: cacheRoom(need) >= need.bytesPerBlock,
		};
	});
	const fitting = named.filter(({ fits }) => fits).map(({ text }) => text);
	const hint = kept === "auto" ? keptAsHalves(source) : "";
	if (fitting.length > 0) return `${hint}It fits with ${fitting.join(" or ")}.`;
	const least = named.at(-1);
	const either = least ? `${least.text} does not make it fit either. ` : "";
	return `${hint}${either}Lower maxNumBatchedTokens or maxModelLen, or use device "webgpu" or a smaller model.`;
}

/** A GGUF grows where its types have no kernels here. */
function keptAsHalves({ tensors }: Tensors): string {
	const types = new Set(Array.from(tensors.values(), ({ dtype }) => dtype));
	const grown = [...types].filter(
		(it) => isBlockDtype(it) && !isWeightFormat(it),
	);
	if (grown.length === 0) return "";
	return `Weights that the file has in ${grown.join(", ")} are kept in f16 unless a quantization is asked for. `;
}

/** What `compile` would take, whatever the checkpoint has, with a cache in f16. */
export function measureCpu(
	program: Program,
	limits: Limits,
	numThreads: number,
	options: FormatOptions,
): MemoryNeed {
	const formatOf = formatsOf({ tensors: new Map() }, options);
	return memoryNeed(program, {
		limits,
		numThreads,
		cacheType: "f16",
		formatOf,
	});
}
