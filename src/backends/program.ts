/**
 * A model as a list of ops over symbolic sizes: what a model family writes and a backend compiles.
 * T tokens in the step, S sequences, R rows that need logits. Knows no checkpoint format and no device.
 * The reference backend is the definition of every op; the formulas here are its summary.
 */

/** Rows of checkpoint tensors laid under one another, so that q, k and v (or gate and up) are one matrix. */
export interface Weight {
	/** For messages, labels and bench rows. */
	readonly name: string;
	/** [rows, columns] of a matrix, [length] of a vector. Vectors stay in f32; matrices may be quantized. */
	readonly shape: readonly number[];
	/** Checkpoint tensors in row order; their row counts add up to shape[0]. */
	readonly parts: readonly WeightPart[];
}

export interface WeightPart {
	readonly tensor: string;
	readonly rows: number;
}

/** An activation buffer of `width` f32 per row; rows are tokens (T) or logit rows (R). */
export interface Activation {
	readonly name: string;
	readonly rows: "T" | "R";
	readonly width: number;
}

/** RMSNorm: y = x / sqrt(mean(x²) + eps) · weight.  Zhang and Sennrich 2019. */
export interface Norm {
	readonly weight: Weight;
	readonly eps: number;
}

/**
 * Rotary embedding, "rotate half" layout: element i pairs with i + D/2 and turns by positions[t] · inverseFrequencies[i].
 * Su et al. 2021. inverseFrequencies: f32 [D/2].
 */
export interface Rope {
	readonly inverseFrequencies: Float32Array;
}

/** Heads of one attention layer. The rows of a qkv buffer are [q heads | k heads | v heads], each head headDim wide. */
export interface Heads {
	readonly numHeads: number;
	readonly numKvHeads: number;
	readonly headDim: number;
}

export type Op =
	/** output[t] = weight[tokenIds[t]] */
	| {
			readonly op: "embed";
			readonly weight: Weight;
			readonly output: Activation;
	  }
	/** output[t] = weight · norm(input[t]) + bias */
	| {
			readonly op: "normLinear";
			readonly input: Activation;
			readonly norm: Norm;
			readonly weight: Weight;
			readonly bias: Weight | null;
			readonly output: Activation;
	  }
	/** In place on qkv: normalise each q and k head, turn them by position, write k and v to the layer's cache at slotMapping[t]. */
	| {
			readonly op: "ropeAndCache";
			readonly layer: number;
			readonly heads: Heads;
			readonly qNorm: Norm | null;
			readonly kNorm: Norm | null;
			readonly rope: Rope;
			readonly qkv: Activation;
	  }
	/**
	 * output[t] = softmax(scale · q[t] · Kᵀ) · V over the cached tokens of t's own sequence at positions ≤ positions[t],
	 * and > positions[t] − slidingWindow where there is one. Query head h reads KV head ⌊h / (numHeads / numKvHeads)⌋.
	 */
	| {
			readonly op: "attention";
			readonly layer: number;
			readonly heads: Heads;
			readonly scale: number;
			readonly slidingWindow: number | null;
			readonly qkv: Activation;
			readonly output: Activation;
	  }
	/** residual[t] += weight · input[t] + bias */
	| {
			readonly op: "linearAdd";
			readonly input: Activation;
			readonly weight: Weight;
			readonly bias: Weight | null;
			readonly residual: Activation;
	  }
	/** With [g, u] = weight · norm(input[t]), the first half of the rows being the gate: output[t] = silu(g) ∘ u.  Shazeer 2020. */
	| {
			readonly op: "normGatedLinear";
			readonly input: Activation;
			readonly norm: Norm;
			readonly weight: Weight;
			readonly output: Activation;
	  }
	/** output[r] = weight · norm(input[logitRows[r]]) */
	| {
			readonly op: "logits";
			readonly input: Activation;
			readonly norm: Norm;
			readonly weight: Weight;
			readonly output: Activation;
	  }
	/** One token id per sampling row, and the logprobs asked for: see sample.ts of the reference backend. */
	| { readonly op: "sample"; readonly logits: Activation };

export interface Program {
	/** Architecture, for messages. */
	readonly name: string;
	readonly vocabSize: number;
	/** Attention layers, in order: what the KV cache must hold. */
	readonly kvLayers: readonly Heads[];
	readonly ops: readonly Op[];
}

/** Every weight of a program once, in the order of first use. */
export function weightsOf(program: Program): Weight[] {
	const weights = new Map<string, Weight>();
	for (const op of program.ops) {
		for (const value of Object.values(op)) {
			if (value === null || typeof value !== "object") continue;
			if ("parts" in value) weights.set(value.name, value);
			else if ("eps" in value) weights.set(value.weight.name, value.weight);
		}
	}
	return [...weights.values()];
}

/** Bytes one token takes in the KV cache of all layers. */
export function kvBytesPerToken(
	program: Program,
	bytesPerElement: number,
): number {
	const perLayer = program.kvLayers.map((h) => 2 * h.numKvHeads * h.headDim);
	return (
		perLayer.reduce((sum, elements) => sum + elements, 0) * bytesPerElement
	);
}
