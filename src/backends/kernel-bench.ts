/**
 * A device's kernels, each alone, beside what the device reads and computes at most: what `nano-vllm bench kernels` asks for and
 * prints. Says which work is timed, at Qwen3-0.6B's sizes, so that devices can be compared. Knows no device.
 */

export const KERNEL_KINDS = ["linear", "attention", "sampler"] as const;
export type KernelKind = (typeof KERNEL_KINDS)[number];

/** Formats of a matrix's weights. */
export const KERNEL_FORMATS = ["bf16", "f16", "f32", "q8_0", "q4_0"] as const;
export type KernelFormat = (typeof KERNEL_FORMATS)[number];

/** A matrix [rows, columns] and the op it is multiplied in. */
export interface LinearShape {
	readonly name: string;
	readonly op: "normLinear" | "linearAdd" | "normGatedLinear";
	readonly columns: number;
	readonly rows: number;
	/** Tokens a step brings at most. */
	readonly maxTokens: number;
	/** With q4_0, this one is q8_0 all the same. */
	readonly keeps8Bits: boolean;
}

/** The output head never sees more rows at once than it makes logits for. */
export const LINEAR_SHAPES: readonly LinearShape[] = [
	layerShape("qkv", "normLinear", 1024, 4096),
	layerShape("o", "linearAdd", 2048, 1024),
	layerShape("gate_up", "normGatedLinear", 1024, 6144),
	layerShape("down", "linearAdd", 3072, 1024),
	{
		name: "lm_head",
		op: "normLinear",
		columns: 1024,
		rows: 151_936,
		maxTokens: 64,
		keeps8Bits: true,
	},
];

function layerShape(
	name: string,
	op: LinearShape["op"],
	columns: number,
	rows: number,
): LinearShape {
	return { name, op, columns, rows, maxTokens: 4096, keeps8Bits: false };
}

/** Sequences whose last `numQueries` tokens of `contextLen` are new. */
export interface AttentionShape {
	readonly name: string;
	readonly numSeqs: number;
	readonly contextLen: number;
	readonly numQueries: number;
}

export const ATTENTION_HEADS = { numHeads: 16, numKvHeads: 8, headDim: 128 };
export const ATTENTION_SHAPES: readonly AttentionShape[] = [
	{ name: "attention, decode", numSeqs: 1, contextLen: 512, numQueries: 1 },
	{ name: "attention, decode", numSeqs: 16, contextLen: 512, numQueries: 1 },
	{ name: "attention, prefill", numSeqs: 1, contextLen: 512, numQueries: 512 },
];

/** null: logits are made and nothing is drawn from them, so that the difference is the sampler. */
export interface SamplerShape {
	readonly name: string;
	readonly numRows: number;
	readonly sampling: {
		readonly temperature: number;
		readonly topK: number;
		readonly topP: number;
	} | null;
}

export const VOCAB_SIZE = 151_936;
export const SAMPLER_SHAPES: readonly SamplerShape[] = [
	sampler("logits alone", null),
	sampler("greedy", { temperature: 0, topK: 0, topP: 1 }),
	sampler("temperature 0.6", { temperature: 0.6, topK: 0, topP: 1 }),
	sampler("top-k 20, top-p 0.95", { temperature: 0.6, topK: 20, topP: 0.95 }),
];

function sampler(
	name: string,
	sampling: SamplerShape["sampling"],
): SamplerShape {
	return { name: `sampler: ${name}`, numRows: 16, sampling };
}

export interface KernelBenchOptions {
	readonly only: readonly KernelKind[];
	/** Of linear: those a device does not have, it leaves out. */
	readonly formats: readonly KernelFormat[];
	/** Of linear: names of LINEAR_SHAPES. */
	readonly shapes: readonly string[];
	/** Of linear: tokens of a step. */
	readonly tokens: readonly number[];
	/** How long one sample lasts, about. */
	readonly sampleMs: number;
	/** Compute threads of the cpu device; null: one per core. */
	readonly threads: number | null;
	/** Of the cpu device: let V8 join pairs of SIMD operations. */
	readonly wasmRevectorize: boolean;
	readonly signal?: AbortSignal;
}

/** What the device does at most, measured in the same run. */
export interface Ceilings {
	/** Read from memory. */
	readonly bytesPerSecond: number;
	/** Multiply-adds count two. One figure per kind of arithmetic. */
	readonly peaks: readonly {
		readonly name: string;
		readonly flopsPerSecond: number;
	}[];
}

/** One kernel, one shape, one format. */
export interface KernelRow {
	readonly kernel: string;
	/** Of the weights; of attention, the cached keys and values. */
	readonly format: KernelFormat;
	readonly tokens: number;
	readonly us: number;
	/** Of what must come from memory: weights, cached keys and values, logits. */
	readonly bytesPerSecond: number;
	/** null where multiply-adds are not what the kernel does. */
	readonly flopsPerSecond: number | null;
	/** Of Ceilings.bytesPerSecond, 0..1; more where the caches help. */
	readonly shareOfRead: number;
	/** Of the peak of the arithmetic this kernel uses. */
	readonly shareOfPeak: number | null;
}

/** First what the device is, then what it can do, then row after row as they are measured. */
export type KernelMeasure =
	| { readonly kind: "device"; readonly label: string }
	| { readonly kind: "ceilings"; readonly ceilings: Ceilings }
	| { readonly kind: "row"; readonly row: KernelRow };

/** Leaving the loop early lets go of the device. @throws aborted, device_unavailable, out_of_memory */
export type KernelBench = (
	options: KernelBenchOptions,
) => AsyncGenerator<KernelMeasure, void, void>;

/** Every matrix, format and number of tokens asked for, in order. */
export function* linearWork({
	formats,
	shapes,
	tokens,
}: KernelBenchOptions): Generator<{
	readonly shape: LinearShape;
	readonly format: KernelFormat;
	readonly numTokens: number;
}> {
	for (const format of formats)
		for (const shape of LINEAR_SHAPES) {
			if (!shapes.includes(shape.name)) continue;
			if (format === "q4_0" && shape.keeps8Bits) continue;
			for (const numTokens of tokens)
				if (numTokens <= shape.maxTokens) yield { shape, format, numTokens };
		}
}
