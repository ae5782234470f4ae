/**
 * What the kernels of a linear op share: their shape, what they do with a product, and the order of their bindings.
 * One kernel is written for one shape; linear-vector, linear-tiles and linear-matrix write it for few tokens, for any
 * device, and for subgroup matrices.
 */
import type { Gating } from "../../program.ts";
import type { Binding } from "../kernel.ts";
import { type MatrixFormat, paddedRows, type Storage } from "../layout.ts";
import { finishLabel } from "./epilogue.ts";
import { type LoraColumns, loraBindings, loraLabel } from "./lora-columns.ts";

/**
 * With y[t][n] = Σ_k w[n][k] · x[t][k] + bias[n]:
 * `store`    output[t][n] = y, an activation
 * `add`      output[t][n] += scale · y, the f32 residual
 * `gated`    output[t][i] = gating(y[t][2i], y[t][2i + 1]), an activation of half the width
 * `logits`   output[t][n] = cap(scale · y) in f32
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
	/** Of `gated`; absent: silu(gate) · up. */
	readonly gating?: Gating;
	/** Of `add` and `logits`; absent: 1. */
	readonly scale?: number;
	/** Of `logits`; absent: cap(x) = x. */
	readonly softCap?: number;
	readonly experts?: ExpertStack;
	/** Adapters' columns behind those of the weight; of partial sums the first split has them. */
	readonly lora?: LoraColumns;
}

/**
 * The weight is a stack of experts' matrices, each with its rows padded to `paddedRows(rows)`, its bias alike; bound are `count` of them from
 * `first` on. Whose expert's matrix is wanted is data: see linear-vector for rows of x one by one, linear-tiles and linear-matrix for
 * tiles of rows. Rows that want an expert of another slice are left alone.
 */
export interface ExpertStack {
	readonly first: number;
	readonly count: number;
	/** Of all slices. */
	readonly total: number;
	/** linear-vector: so many rows of the output, one after another, read the same row of x. */
	readonly pairsPerRow: number;
}

/** The first lines of a kernel of an expert stack: `expertRow`, the first row of the expert's matrix. expert: text of its number. */
export function expertText({ experts, rows }: LinearShape, expert: string) {
	if (experts === undefined) return "";
	const { first, count, total } = experts;
	const isSliced = count < total;
	return `  let expert = ${expert}${isSliced ? ` - ${first}u` : ""};
${isSliced ? `  if (expert >= ${count}u) { return; }` : ""}
  let expertRow = expert * ${paddedRows(rows)}u;`;
}

/**
 * Inputs of a kernel of tiles. Of an expert stack tileExperts[0] tiles of x have rows, all of tile i those of expert tileExperts[1 + i]; its
 * other rows are nobody's, and what is made of them may be anything.
 */
export function tileInputs({ experts }: LinearShape, type: string): Binding[] {
	const x: Binding = ["x", "read", type];
	return experts ? [x, ["tileExperts", "read", "array<u32>"]] : [x];
}

/** `expertText` of a kernel of tiles. */
export const tileExpert = (shape: LinearShape): string =>
	shape.experts === undefined
		? ""
		: `  if (group.x >= tileExperts[0]) { return; }
${expertText(shape, "tileExperts[1u + group.x]")}`;

/** What to add to a row of the weight or an element of the bias. */
export const expertOffset = ({ experts }: LinearShape): string =>
	experts === undefined ? "" : "expertRow + ";

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
	loraTypes = { small: "", b: "" },
): Binding[] {
	const scaled = shape.format === "q8_0" || shape.format === "q4_0";
	return [
		...inputs,
		["weight", "read", types.weight],
		...(scaled ? ([["scales", "read", "array<u32>"]] as const) : []),
		...(shape.bias ? ([["bias", "read", "array<f32>"]] as const) : []),
		["output", "write", types.output],
		...loraBindings(shape.lora, loraTypes),
	];
}

/** The part of a label that tells shapes apart. */
export function shapeLabel(shape: LinearShape): string {
	const { format, storage, epilogue, bias, rows, columns, outputStride } =
		shape;
	return [
		format,
		storage,
		epilogue + (bias ? "+bias" : "") + finishLabel(shape),
		`${rows}x${columns}`,
		outputStride,
		...(shape.split ? [`${shape.split.splits}x${shape.split.rows}`] : []),
		...(shape.experts ? [expertLabel(shape.experts)] : []),
		...(shape.lora ? [loraLabel(shape.lora)] : []),
	].join("_");
}

const expertLabel = ({ first, count, total, pairsPerRow }: ExpertStack) =>
	`experts${first}+${count}of${total}_${pairsPerRow}`;
