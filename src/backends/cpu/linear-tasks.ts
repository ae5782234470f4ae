/** The tasks of linear ops: a matrix's panels, what rows are multiplied, and what becomes of the sums. */
import type { Activation, Norm, Op, Weight } from "../program.ts";
import { FORMATS, groupBytes, PANEL_COLUMNS } from "./format.ts";
import { GATING } from "./kernels.ts";
import type { Places } from "./places.ts";
import type { ExpertPanels, LinearTask, Task } from "./plan.ts";

type OpOf<Name extends Op["op"]> = Extract<Op, { op: Name }>;

export interface LinearParts {
	readonly mode: LinearTask["mode"];
	readonly input: Activation;
	readonly norm: Norm | null;
	readonly weight: Weight;
	readonly bias: Weight | null;
	readonly scale?: number;
	readonly gating?: number;
	/** An address where it is no activation of the program. */
	readonly output: Activation | number;
}

export function linear(op: Op, parts: LinearParts, places: Places): LinearTask {
	const { mode, input, norm, weight, output } = parts;
	return {
		kind: "linear",
		mode,
		...panelsOf(places, op, weight, parts.bias),
		input: places.buffer(input),
		width: weight.shape[1],
		norm: places.vector(norm?.weight ?? null),
		eps: norm?.eps ?? 0,
		scale: parts.scale ?? 1,
		gating: parts.gating ?? GATING.silu,
		output: typeof output === "number" ? output : places.buffer(output),
	};
}

export function panelsOf(
	places: Places,
	op: Op,
	weight: Weight,
	bias: Weight | null,
): ExpertPanels {
	const packed = places.matrix(weight, op);
	const expertRows = weight.shape[0] / packed.numExperts;
	const columns = packed.interleaved ? expertRows / 2 : expertRows;
	return {
		format: FORMATS[packed.format].id,
		depth: packed.depth,
		groupBytes: groupBytes(packed.format, packed.columns),
		w: packed.address,
		panelBytes: packed.panelBytes,
		numPanels: Math.ceil(columns / PANEL_COLUMNS),
		expertBytes: packed.numPanels * packed.panelBytes,
		bias: places.vector(bias),
		biasBytes: bias === null ? 0 : expertRows * 4,
		columns,
	};
}

export function linearTask(
	op: OpOf<"normLinear" | "normGatedLinear" | "logits">,
	places: Places,
): LinearTask {
	switch (op.op) {
		case "normLinear":
			return linear(op, { ...op, mode: "store" }, places);
		case "logits":
			return linear(op, { ...op, mode: "store", bias: null }, places);
		case "normGatedLinear": {
			const gating = GATING[op.activation];
			return linear(op, { ...op, mode: "gated", gating }, places);
		}
		default:
			return op satisfies never;
	}
}

/** Sums that are normalised stand in a buffer of their own until whole rows are there. */
export function linearAddTasks(op: OpOf<"linearAdd">, places: Places): Task[] {
	const { postNorm, residual, scale } = op;
	const { width } = residual;
	const plain = { ...op, norm: null };
	if (postNorm === null) {
		const added = { ...plain, mode: "add" as const, output: residual };
		return [linear(op, added, places)];
	}
	const branch = { name: `branch of ${width}`, rows: "T", width } as const;
	const stored = { ...plain, mode: "store" as const, scale: 1, output: branch };
	const addRows: Task = {
		kind: "addRows",
		input: places.buffer(branch),
		width,
		norm: places.vector(postNorm.weight),
		eps: postNorm.eps,
		scale,
		residual: places.buffer(residual),
	};
	return [linear(op, stored, places), addRows];
}
