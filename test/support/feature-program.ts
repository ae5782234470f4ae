/** Programs of any mixture of features, written block by block: what no one family has in all its sizes. Knows no backend. */
import type {
	Activation,
	ActivationFunction,
	Gating,
	Heads,
	Norm,
	Op,
	Program,
	Rope,
	Weight,
} from "../../src/backends/program.ts";
import { expertsOp } from "./feature-experts.ts";

/** qkv, rope, attention, output. What is left out is off, but `norm` and `rope`. */
export interface AttentionBlock {
	readonly kind: "attention";
	/** query heads, KV heads, head size */
	readonly heads: readonly [number, number, number];
	/** false: the block reads the residual as it is */
	readonly norm?: false;
	readonly bias?: true;
	/** of each head, or of all heads together */
	readonly qkNorm?: "head" | "all";
	/** Frequencies, and what cosine and sine are multiplied by; default: of the whole head, 1; null: no positions. */
	readonly rope?: readonly [number, number] | null;
	readonly window?: number;
	readonly softCap?: number;
	readonly sinks?: true;
	readonly postNorm?: true;
	readonly scale?: number;
}

export interface MlpBlock {
	readonly kind: "mlp";
	readonly intermediate: number;
	readonly norm?: false;
	readonly bias?: true;
	readonly activation?: ActivationFunction;
	readonly postNorm?: true;
	readonly scale?: number;
}

/** How a checkpoint holds experts: a tensor each, one matrix of all, stacks, or stacks of columns in which gate and up alternate. */
export type ExpertStorage = "parts" | "whole" | "stack" | "columns";

export interface ExpertsBlock {
	readonly kind: "experts";
	readonly intermediate: number;
	readonly numExperts: number;
	readonly topK: number;
	readonly storage: ExpertStorage;
	readonly normalize?: true;
	readonly bias?: true;
	readonly gating?: Gating;
	readonly scale?: number;
}

export type Block = AttentionBlock | MlpBlock | ExpertsBlock;

export interface FeatureCase {
	readonly name: string;
	readonly hidden: number;
	readonly vocab: number;
	readonly blockSize: number;
	readonly embedScale?: number;
	readonly logitScale?: number;
	readonly logitCap?: number;
	/** Norms' weights are stored less one. */
	readonly plusOne?: true;
	readonly blocks: readonly Block[];
}

export function featureProgram(it: FeatureCase): Program {
	const residual = activation("residual", it.hidden);
	const logits: Activation = { name: "logits", rows: "R", width: it.vocab };
	const norm = (name: string, length = it.hidden): Norm =>
		normOf(name, length, it.plusOne ?? false);
	const blocks = it.blocks.flatMap((block, i) =>
		blockOps(block, i, residual, norm, layerOf(it.blocks, i)),
	);
	return {
		name: it.name,
		vocabSize: it.vocab,
		kvLayers: it.blocks.filter((b) => b.kind === "attention").map(headsOf),
		ops: [
			{
				op: "embed",
				weight: matrix("embed_tokens", it.vocab, it.hidden),
				scale: it.embedScale ?? 1,
				output: residual,
			},
			...blocks,
			{
				op: "logits",
				input: residual,
				norm: norm("model.norm"),
				weight: matrix("lm_head", it.vocab, it.hidden),
				scale: it.logitScale ?? 1,
				softCap: it.logitCap ?? null,
				output: logits,
			},
			{ op: "sample", logits },
		],
	};
}

/** Whether all routing is done before anything is rounded: then a coarse device sends tokens to the same experts. */
export function routesExactly({ blocks }: FeatureCase): boolean {
	return blocks.every(
		(block, i) =>
			block.kind !== "experts" || i === 0 || block.topK === block.numExperts,
	);
}

export function storesColumns({ blocks }: FeatureCase): boolean {
	return blocks.some(
		(block) => block.kind === "experts" && block.storage === "columns",
	);
}

export type NormOf = (name: string, length?: number) => Norm;

const layerOf = (blocks: readonly Block[], i: number): number =>
	blocks.slice(0, i).filter(({ kind }) => kind === "attention").length;

function headsOf({
	heads: [numHeads, numKvHeads, headDim],
}: AttentionBlock): Heads {
	return { numHeads, numKvHeads, headDim };
}

function blockOps(
	block: Block,
	index: number,
	residual: Activation,
	norm: NormOf,
	layer: number,
): Op[] {
	switch (block.kind) {
		case "attention":
			return attentionOps(block, `${index}`, residual, norm, layer);
		case "mlp":
			return mlpOps(block, `${index}`, residual, norm);
		case "experts":
			return [expertsOp(block, `${index}`, residual, norm)];
		default:
			return block satisfies never;
	}
}

function attentionOps(
	block: AttentionBlock,
	name: string,
	residual: Activation,
	norm: NormOf,
	layer: number,
): Op[] {
	const heads = headsOf(block);
	const { numHeads, numKvHeads, headDim } = heads;
	const hidden = residual.width;
	const rows = (numHeads + 2 * numKvHeads) * headDim;
	const qkv = activation(`${name}.qkv`, rows);
	const output = activation(`${name}.attention`, numHeads * headDim);
	const qkNorm = (which: string, count: number) =>
		block.qkNorm === undefined
			? null
			: norm(
					`${name}.${which}_norm`,
					block.qkNorm === "all" ? count * headDim : headDim,
				);
	const bias = (which: string, length: number) =>
		block.bias ? vector(`${name}.${which}.bias`, length) : null;
	return [
		{
			op: "normLinear",
			input: residual,
			norm: block.norm === false ? null : norm(`${name}.norm`),
			weight: matrix(`${name}.qkv`, rows, hidden),
			bias: bias("qkv", rows),
			output: qkv,
		},
		{
			op: "ropeAndCache",
			layer,
			heads,
			qNorm: qkNorm("q", numHeads),
			kNorm: qkNorm("k", numKvHeads),
			rope: ropeOf(block),
			qkv,
		},
		{
			op: "attention",
			layer,
			heads,
			scale: headDim ** -0.5,
			slidingWindow: block.window ?? null,
			softCap: block.softCap ?? null,
			sinks: block.sinks ? vector(`${name}.sinks`, numHeads) : null,
			qkv,
			output,
		},
		{
			op: "linearAdd",
			input: output,
			weight: matrix(`${name}.out`, hidden, numHeads * headDim),
			bias: bias("out", hidden),
			postNorm: block.postNorm ? norm(`${name}.post_norm`) : null,
			scale: block.scale ?? 1,
			residual,
		},
	];
}

function ropeOf({ heads: [, , headDim], rope }: AttentionBlock): Rope | null {
	if (rope === null) return null;
	const [count, scale] = rope ?? [headDim / 2, 1];
	const inverseFrequencies = Float32Array.from(
		{ length: count },
		(_, i) => 100 ** (-i / count),
	);
	return { inverseFrequencies, scale };
}

function mlpOps(
	block: MlpBlock,
	name: string,
	residual: Activation,
	norm: NormOf,
): Op[] {
	const { intermediate } = block;
	const hidden = residual.width;
	const output = activation(`${name}.gated`, intermediate);
	const bias = (which: string, length: number) =>
		block.bias ? vector(`${name}.${which}.bias`, length) : null;
	return [
		{
			op: "normGatedLinear",
			input: residual,
			norm: block.norm === false ? null : norm(`${name}.norm`),
			weight: matrix(`${name}.gate_up`, 2 * intermediate, hidden),
			bias: bias("gate_up", 2 * intermediate),
			activation: block.activation ?? "silu",
			output,
		},
		{
			op: "linearAdd",
			input: output,
			weight: matrix(`${name}.down`, hidden, intermediate),
			bias: bias("down", hidden),
			postNorm: block.postNorm ? norm(`${name}.post_norm`) : null,
			scale: block.scale ?? 1,
			residual,
		},
	];
}

const activation = (name: string, width: number): Activation => ({
	name,
	rows: "T",
	width,
});

export const matrix = (
	name: string,
	rows: number,
	columns: number,
): Weight => ({
	name,
	shape: [rows, columns],
	parts: [{ tensor: `${name}.weight`, rows }],
});

export const vector = (name: string, length: number): Weight => ({
	name,
	shape: [length],
	parts: [{ tensor: name, rows: length }],
});

const normOf = (name: string, length: number, plusOne: boolean): Norm => ({
	weight: {
		name,
		shape: [length],
		parts: [
			{ tensor: `${name}.${plusOne ? "less_one" : "weight"}`, rows: length },
		],
		...(plusOne ? { plus: 1 } : {}),
	},
	eps: 1e-5,
});
