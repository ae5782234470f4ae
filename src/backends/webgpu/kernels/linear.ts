/**
 * What the kernels of a linear op share: their shape, what they do with a product, and the order of their bindings.
 * One kernel is written for one shape; linear-vector, linear-tiles and linear-matrix write it for few tokens, for any
 * device, and for subgroup matrices.
 */
import type { Binding } from "../kernel.ts";
import type { MatrixFormat, Storage } from "../layout.ts";

/**
 * With y[t][n] = Σ_k w[n][k] · x[t][k] + bias[n]:
 * `store`    output[t][n] = y, an activation
 * `add`      output[t][n] += y, the f32 residual
 * `gated`    output[t][i] = silu(y[t][2i]) · y[t][2i + 1], an activation of half the width
 * `logits`   output[t][n] = y in f32
 * `partial`  output[split][t][n] = the split's share of Σ_k, f32, never with a bias: kernels/rms-norm.ts adds them up
 */
export type Epilogue = "store" | "add" | "gated" | "logits" | "partial";

export interface LinearShape {
	/** N: rows of the weight, or of the slice of it that is bound, without padding. */
	readonly rows: number;
	/** K */
	readonly columns: number;
	/** Elements from one row of the output to the next: that of the whole matrix, a slice's output being bound at an offset. */
	readonly outputStride: number;
	readonly format: MatrixFormat;
	/** Of x, and of the output of `store` and `gated`. */
	readonly storage: Storage;
	readonly epilogue: Epilogue;
	readonly bias: boolean;
	/** Only for `partial`. */
	readonly split?: Split;
}

/** Shares of K computed apart. Split s writes rows s · rows .. of the output, `rows` being at least T rounded up to the kernel's tile. */
export interface Split {
	readonly splits: number;
	readonly rows: number;
}

/** Input, weight and output of a linear kernel in binding order; WGSL types are the kernel's choice. */
export function linearBindings(
	shape: LinearShape,
	inputs: readonly Binding[],
	types: { readonly weight: string; readonly output: string },
): Binding[] {
	const scaled = shape.format === "q8_0" || shape.format === "q4_0";
	return [
		...inputs,
		["weight", "read", types.weight],
		...(scaled ? ([["scales", "read", "array<u32>"]] as const) : []),
		...(shape.bias ? ([["bias", "read", "array<f32>"]] as const) : []),
		["output", "write", types.output],
	];
}

/** The part of a label that tells shapes apart. */
export function shapeLabel(shape: LinearShape): string {
	const { format, storage, epilogue, bias, rows, columns, outputStride } =
		shape;
	return [
		format,
		storage,
		epilogue + (bias ? "+bias" : ""),
		`${rows}x${columns}`,
		outputStride,
		...(shape.split ? [`${shape.split.splits}x${shape.split.rows}`] : []),
	].join("_");
}
