/**
 * gpt-oss in GGUF: checkpoints of this family stack all experts of a layer in one tensor, columns before rows, gate and up alternating; GGUF has
 * each expert's rows in order. So a program's views of the stacks become the tensors that gguf-names.ts has for each expert.
 */
import type { Op, Program, Weight, WeightPart } from "../backends/program.ts";

const STACK = /^(.*\.experts)\.(gate_up|down)_proj(_bias)?$/;

/** The same program, its weights named as a GGUF has them. Programs without such stacks come back as they are. */
export function ggufProgram(program: Program): Program {
	const ops = program.ops.map(renamedOp);
	return ops.every((op, i) => op === program.ops[i])
		? program
		: { ...program, ops };
}

function renamedOp(op: Op): Op {
	if (op.op !== "mixtureOfExperts") return op;
	const weights = {
		gateUp: renamedWeight(op.gateUp),
		gateUpBias: op.gateUpBias && renamedWeight(op.gateUpBias),
		down: renamedWeight(op.down),
		downBias: op.downBias && renamedWeight(op.downBias),
	};
	return weights.gateUp === op.gateUp ? op : { ...op, ...weights };
}

function renamedWeight(weight: Weight): Weight {
	const parts = weight.parts.map(renamedPart);
	return parts.every((part, i) => part === weight.parts[i])
		? weight
		: { ...weight, parts };
}

function renamedPart(part: WeightPart): WeightPart {
	const { tensor, rows, view } = part;
	const match = STACK.exec(tensor);
	if (match === null || view === undefined || view.index === null) return part;
	const [, experts, stack, bias] = match;
	const projection =
		stack === "down" ? "down" : view.first === 0 ? "gate" : "up";
	const kind = bias ? "bias" : "weight";
	return {
		tensor: `${experts}.${view.index}.${projection}_proj.${kind}`,
		rows,
	};
}
