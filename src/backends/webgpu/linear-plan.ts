/** The dispatches of one linear op: one a slice of its matrix, each with the kernel that suits the shape and the number of tokens. */
import type { Gating, Norm, Weight } from "../program.ts";
import { type LinearLora, loraBuffers } from "./adapter-plan.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Epilogue, LinearShape, Split } from "./kernels/linear.ts";
import { stride } from "./layout.ts";
import { chooseLinear, type LinearChoice } from "./linear-choice.ts";
import type { MatrixSlice } from "./load-weights.ts";
import {
	dispatchOf,
	matrixOf,
	type PlanParts,
	vectorOf,
} from "./plan-parts.ts";

export interface LinearOp {
	readonly weight: Weight;
	readonly bias: Weight | null;
	readonly epilogue: Epilogue;
	/** See LinearShape. */
	readonly gating?: Gating;
	readonly scale?: number;
	readonly softCap?: number;
	/** Rows of x at most. */
	readonly most: number;
	/** A norm the kernel shall do itself: `input` is then the residual. */
	readonly norm: Norm | null;
	/** Its sums may be left in parts, for another kernel to add up. */
	readonly maySplit?: boolean;
	readonly input: GPUBuffer;
	readonly output: GPUBuffer;
	/** Of one element of the output. */
	readonly outputBytes: number;
	/** null or absent: steps without adapters. */
	readonly lora?: LinearLora | null;
}

/** What of an op says which kernel it gets. */
export type LinearSpec = Omit<LinearOp, "input" | "output" | "outputBytes">;

/** The kernel for a slice of `weight`; its `split` says whether the op ends in partial sums. */
export function choiceOf(
	{ gpu, weights, storage }: PlanParts,
	op: LinearSpec,
	{ rows, rowStart }: Pick<MatrixSlice, "rows" | "rowStart">,
): LinearChoice {
	const { weight, bias, epilogue, most, norm, maySplit = false } = op;
	const columnsOf = ({ columns }: LinearLora) => ({
		...columns,
		firstRow: rowStart,
	});
	const [numRows, columns] = weight.shape;
	const { format, slices } = matrixOf(weights, weight);
	const shape: LinearShape = {
		rows,
		columns,
		outputStride: stride(epilogue === "gated" ? numRows / 2 : numRows),
		format,
		storage,
		epilogue,
		bias: bias !== null,
		gating: op.gating,
		scale: op.scale,
		softCap: op.softCap,
		lora: op.lora ? columnsOf(op.lora) : undefined,
	};
	const normEps = norm?.eps ?? null;
	// The parts of a slice would need a buffer of their own.
	const may = maySplit && slices.length === 1;
	return chooseLinear(gpu.abilities, shape, most, normEps, may);
}

/** The split of `weight`'s sums, the same for all its slices; null where the kernel adds to the residual itself. */
export function splitOf(parts: PlanParts, op: LinearSpec): Split | null {
	const [slice] = matrixOf(parts.weights, op.weight).slices;
	return choiceOf(parts, op, slice).split;
}

export function linearDispatches(
	parts: PlanParts,
	op: LinearOp,
): Promise<Dispatch>[] {
	const { weights } = parts;
	const { bias, norm, output, epilogue } = op;
	return matrixOf(weights, op.weight).slices.map((slice) => {
		const { kernel, grid, shape } = choiceOf(parts, op, slice);
		const column = slice.rowStart / (epilogue === "gated" ? 2 : 1);
		const offset = 4 * slice.rowStart;
		const biasAt = bias ? { buffer: vectorOf(weights, bias), offset } : null;
		return dispatchOf(
			parts,
			kernel,
			[
				op.input,
				...(norm ? [vectorOf(weights, norm.weight)] : []),
				slice.values,
				...(slice.scales ? [slice.scales] : []),
				...(shape.bias && biasAt ? [biasAt] : []),
				{ buffer: output, offset: column * op.outputBytes },
				...(op.lora ? loraBuffers(op.lora) : []),
			],
			grid,
		);
	});
}
