/**
 * The same program with room for adapters: every linear layer may get low-rank additions (LoRA, Hu et al. 2021), token by token.
 * Knows no family and no adapter: a layer's matrices are the checkpoint tensors it is made of. Embeddings, output head and experts
 * stay as they are.
 */
import type {
	Activation,
	AdapterSlots,
	AdapterTarget,
	Op,
	Program,
	Weight,
} from "../backends/program.ts";

type OpOf<Name extends Op["op"]> = Extract<Op, { op: Name }>;

export function adaptable(program: Program, adapters: AdapterSlots): Program {
	return { ...program, adapters, ops: program.ops.flatMap(withAdapters) };
}

/** Additions come before anything that is not linear: a gated layer, and a norm after one, are taken apart. */
function withAdapters(op: Op): Op[] {
	switch (op.op) {
		case "normLinear":
			return [op, loraOf(op, op.input, op.norm, op.output)];
		case "normGatedLinear":
			return gatedOps(op);
		case "linearAdd":
			return op.postNorm === null
				? [op, loraOf(op, op.input, null, op.residual, op.scale)]
				: normedAddOps(op, op.postNorm);
		default:
			return [op];
	}
}

function gatedOps(op: OpOf<"normGatedLinear">): Op[] {
	const { input, norm, weight, bias, activation, output } = op;
	const gateUp: Activation = {
		name: "gate_up",
		rows: output.rows,
		width: weight.shape[0],
	};
	return [
		{ op: "normLinear", input, norm, weight, bias, output: gateUp },
		loraOf(op, input, norm, gateUp),
		{ op: "gate", input: gateUp, activation, output },
	];
}

function normedAddOps(
	{ input, weight, bias, scale, residual }: OpOf<"linearAdd">,
	norm: NonNullable<OpOf<"linearAdd">["postNorm"]>,
): Op[] {
	const branch: Activation = { ...residual, name: "branch" };
	return [
		{ op: "normLinear", input, norm: null, weight, bias, output: branch },
		loraOf({ weight }, input, null, branch),
		{ op: "normAdd", input: branch, norm, scale, residual },
	];
}

function loraOf(
	{ weight }: { readonly weight: Weight },
	input: Activation,
	norm: OpOf<"lora">["norm"],
	output: Activation,
	scale = 1,
): Op {
	return { op: "lora", input, norm, targets: targetsOf(weight), scale, output };
}

function targetsOf({ parts, shape: [, columns] }: Weight): AdapterTarget[] {
	let end = 0;
	return parts.map(({ tensor, rows }) => {
		const firstRow = end;
		end += rows;
		return { name: tensor.replace(/\.weight$/, ""), rows, columns, firstRow };
	});
}
