/** Which row of a weight goes to which row of its buffer: gates beside their ups, every expert's rows padded. Knows no device. */
import { type Program, type Weight, weightsOf } from "../program.ts";
import { paddedRows } from "./layout.ts";

/** A weight as a stack of `count` matrices, or vectors, of `rows` rows each. */
export interface RowLayout {
	readonly count: number;
	readonly rows: number;
	/** From one of the stack to the next in the buffer. */
	readonly pitch: number;
	/** Rows are gates then ups: gate i becomes row 2i, up i row 2i + 1. */
	readonly interleaved: boolean;
}

/** By the name of the weight. */
export function rowLayouts(program: Program): Map<string, RowLayout> {
	const layouts = new Map<string, RowLayout>();
	const gated = gatedNames(program);
	for (const weight of weightsOf(program)) {
		const count = expertsOf(program, weight);
		const rows = weight.shape[0] / (count ?? 1);
		layouts.set(weight.name, {
			count: count ?? 1,
			rows,
			pitch: count === null ? rows : paddedRows(rows),
			interleaved: gated.has(weight.name),
		});
	}
	return layouts;
}

/** Rows of the buffer. */
export const placedRows = ({ count, pitch }: RowLayout): number =>
	count * pitch;

/** Row of the buffer that row `row` of the weight goes to. */
export function placeOfRow(
	{ rows, pitch, interleaved }: RowLayout,
	row: number,
): number {
	const start = Math.floor(row / rows) * pitch;
	const i = row % rows;
	if (!interleaved) return start + i;
	const half = rows / 2;
	return start + (i < half ? 2 * i : 2 * (i - half) + 1);
}

/** Weights whose rows are gate then up, and their biases. */
function gatedNames({ ops }: Program): Set<string> {
	const weights = ops.flatMap((op) => {
		if (op.op === "normGatedLinear") return [op.weight, op.bias];
		return op.op === "mixtureOfExperts" ? [op.gateUp, op.gateUpBias] : [];
	});
	return new Set(weights.flatMap((weight) => weight?.name ?? []));
}

/** null: not an experts' weight. */
function expertsOf({ ops }: Program, { name }: Weight): number | null {
	for (const op of ops) {
		if (op.op !== "mixtureOfExperts") continue;
		const stacks = [op.gateUp, op.gateUpBias, op.down, op.downBias];
		if (stacks.some((weight) => weight?.name === name)) return op.numExperts;
	}
	return null;
}
