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
	/** Added to every element of a vector while loading: Gemma stores its norms' weights less one. */
	readonly plus?: number;
}

export interface WeightPart {
	readonly tensor: string;
	/** Rows this part gives the weight. */
	readonly rows: number;
	/** Where the rows lie in the tensor; absent: the tensor is exactly these rows. */
	readonly view?: TensorView;
}

/**
 * A matrix inside a tensor of more dimensions, whose rows first, first + step, … are the part's: one expert of a stack [experts, rows, columns],
 * every second row where gate and up alternate.
 */
export interface TensorView {
	/** Of the whole tensor as the checkpoint has it. */
	readonly shape: readonly number[];
	/** Along the first dimension of a tensor of three (for vectors: of two); null where it has no such dimension. */
	readonly index: number | null;
	/** The checkpoint has [columns, rows]. */
	readonly transposed: boolean;
	readonly first: number;
	readonly step: number;
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
 * Rotary embedding, "rotate half" layout: of the first 2F elements of a head, element i pairs with i + F and turns by
 * positions[t] · inverseFrequencies[i]; the rest stay as they are. Su et al. 2021. inverseFrequencies: f32 [F], F ≤ D/2.
 */
export interface Rope {
	readonly inverseFrequencies: Float32Array;
	/** Cosine and sine are multiplied by it: YaRN's attention factor (Peng et al. 2023), else 1. */
	readonly scale: number;
}

/** silu(x) = x / (1 + e^−x); gelu_tanh(x) = x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))), Hendrycks and Gimpel 2016. */
export type ActivationFunction = "silu" | "gelu_tanh";

/**
 * How gate and up become one: `gated` is act(gate) · up; `clamped_swiglu` is gpt-oss's (up + 1) · gate · sigmoid(1.702 · gate), gate cut at
 * +limit and up at ±limit first.
 */
export type Gating =
	| { readonly kind: "gated"; readonly activation: ActivationFunction }
	| { readonly kind: "clamped_swiglu"; readonly limit: number };

/** Heads of one attention layer. The rows of a qkv buffer are [q heads | k heads | v heads], each head headDim wide. */
export interface Heads {
	readonly numHeads: number;
	readonly numKvHeads: number;
	readonly headDim: number;
}

export type Op =
	/** output[t] = scale · weight[tokenIds[t]] */
	| {
			readonly op: "embed";
			readonly weight: Weight;
			readonly scale: number;
			readonly output: Activation;
	  }
	/** output[t] = weight · norm(input[t]) + bias; norm null: of input[t] as it is */
	| {
			readonly op: "normLinear";
			readonly input: Activation;
			readonly norm: Norm | null;
			readonly weight: Weight;
			readonly bias: Weight | null;
			readonly output: Activation;
	  }
	/**
	 * In place on qkv: normalise q and k, turn each head by position, write k and v to the layer's cache at slotMapping[t].
	 * A norm's weight of [headDim] is for each head by itself, one of [heads · headDim] for all heads of a token together (OLMo 2).
	 */
	| {
			readonly op: "ropeAndCache";
			readonly layer: number;
			readonly heads: Heads;
			readonly qNorm: Norm | null;
			readonly kNorm: Norm | null;
			/** null: the layer knows no positions (SmolLM3). */
			readonly rope: Rope | null;
			readonly qkv: Activation;
	  }
	/**
	 * output[t] = softmax(scores) · V with scores = cap(scale · q[t] · Kᵀ) over the cached tokens of t's own sequence at positions ≤ positions[t],
	 * and > positions[t] − slidingWindow where there is one. cap(x) = softCap · tanh(x / softCap), or x. sinks: f32 [numHeads], for each
	 * head one more score whose value is zero (gpt-oss). Query head h reads KV head ⌊h / (numHeads / numKvHeads)⌋.
	 */
	| {
			readonly op: "attention";
			readonly layer: number;
			readonly heads: Heads;
			readonly scale: number;
			readonly slidingWindow: number | null;
			readonly softCap: number | null;
			readonly sinks: Weight | null;
			readonly qkv: Activation;
			readonly output: Activation;
	  }
	/** residual[t] += scale · postNorm(weight · input[t] + bias); postNorm null: of that sum as it is */
	| {
			readonly op: "linearAdd";
			readonly input: Activation;
			readonly weight: Weight;
			readonly bias: Weight | null;
			readonly postNorm: Norm | null;
			readonly scale: number;
			readonly residual: Activation;
	  }
	/** With [g, u] = weight · norm(input[t]) + bias, the first half of the rows being the gate: output[t] = act(g) ∘ u.  Shazeer 2020. */
	| {
			readonly op: "normGatedLinear";
			readonly input: Activation;
			readonly norm: Norm | null;
			readonly weight: Weight;
			readonly bias: Weight | null;
			readonly activation: ActivationFunction;
			readonly output: Activation;
	  }
	/**
	 * Mixture of experts (Shazeer et al. 2017): with x = norm(residual[t]) and p = softmax(router · x + routerBias), E the topK experts of largest p
	 * (of equal ones the first), w_e = p_e, divided by their sum where `normalize`:
	 * residual[t] += scale · Σ_{e∈E} w_e · (down_e · gating(gateUp_e · x + gateUpBias_e) + downBias_e).
	 * Rows of gateUp: expert by expert, its gate's rows then its up's; of down: expert by expert. Biases alike.
	 */
	| {
			readonly op: "mixtureOfExperts";
			readonly norm: Norm;
			readonly numExperts: number;
			readonly topK: number;
			readonly normalize: boolean;
			readonly gating: Gating;
			/** [numExperts, H], kept in f32 where the backend can. */
			readonly router: Weight;
			readonly routerBias: Weight | null;
			/** [numExperts · 2I, H] */
			readonly gateUp: Weight;
			readonly gateUpBias: Weight | null;
			/** [numExperts · H, I] */
			readonly down: Weight;
			readonly downBias: Weight | null;
			readonly scale: number;
			readonly residual: Activation;
	  }
	/** With [g, u] = input[t]: output[t] = act(g) ∘ u, the end of a gated layer whose sums somebody else adds to first. */
	| {
			readonly op: "gate";
			readonly input: Activation;
			readonly activation: ActivationFunction;
			readonly output: Activation;
	  }
	/** residual[t] += scale · norm(input[t]) */
	| {
			readonly op: "normAdd";
			readonly input: Activation;
			readonly norm: Norm;
			readonly scale: number;
			readonly residual: Activation;
	  }
	/**
	 * What adapters add to the linear before (Hu et al. 2021): of every target, with the a and b of the slot that token t goes through,
	 * output[t, firstRow ..] += scale · b · (a · norm(input[t])); tokens without an adapter are left as they are.
	 */
	| {
			readonly op: "lora";
			readonly input: Activation;
			readonly norm: Norm | null;
			readonly targets: readonly AdapterTarget[];
			readonly scale: number;
			readonly output: Activation;
	  }
	/** output[r] = cap(scale · weight · norm(input[logitRows[r]])), cap as in attention */
	| {
			readonly op: "logits";
			readonly input: Activation;
			readonly norm: Norm;
			readonly weight: Weight;
			readonly scale: number;
			readonly softCap: number | null;
			readonly output: Activation;
	  }
	/** One token id per sampling row, and the logprobs asked for: see sample.ts of the reference backend. */
	| { readonly op: "sample"; readonly logits: Activation };

/** A matrix of the checkpoint that adapters may change. Rows firstRow, firstRow + 1, … of the linear it is part of are its own. */
export interface AdapterTarget {
	/** Its tensor's name, without ".weight". */
	readonly name: string;
	readonly rows: number;
	readonly columns: number;
	readonly firstRow: number;
}

/** Room for adapters: so many at once, of at most this rank. */
export interface AdapterSlots {
	readonly numSlots: number;
	readonly maxRank: number;
}

export interface Program {
	/** Architecture, for messages. */
	readonly name: string;
	readonly vocabSize: number;
	/** Attention layers, in order: what the KV cache must hold. */
	readonly kvLayers: readonly Heads[];
	readonly ops: readonly Op[];
	/** What its lora ops have room for; absent: it has none. */
	readonly adapters?: AdapterSlots;
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

/** The tensors a checkpoint of this program has, each once. */
export function checkpointTensors(
	program: Program,
): { readonly name: string; readonly shape: readonly number[] }[] {
	const shapes = new Map<string, readonly number[]>();
	for (const weight of weightsOf(program))
		for (const part of weight.parts)
			shapes.set(part.tensor, tensorShape(weight, part));
	return Array.from(shapes, ([name, shape]) => ({ name, shape }));
}

/** What a checkpoint must say of the tensor that the part comes from. */
export function tensorShape(
	{ shape }: Weight,
	{ rows, view }: WeightPart,
): readonly number[] {
	return view?.shape ?? [rows, ...shape.slice(1)];
}

/** Every matrix adapters may change. */
export function adapterTargets(program: Program): readonly AdapterTarget[] {
	return program.ops.flatMap((op) => (op.op === "lora" ? op.targets : []));
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
