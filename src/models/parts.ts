/** The pieces model files are written with: named weights made of checkpoint tensors, norms. */
import type { Norm, Weight } from "../backends/program.ts";

type Rows = readonly (readonly [tensor: string, rows: number])[];

/** [Σ rows, columns], the named checkpoint tensors under one another. */
export function matrix(name: string, columns: number, parts: Rows): Weight {
	return {
		name,
		shape: [parts.reduce((sum, [, rows]) => sum + rows, 0), columns],
		parts: parts.map(([tensor, rows]) => ({ tensor, rows })),
	};
}

/** [Σ rows] */
export function vector(name: string, parts: Rows): Weight {
	const { parts: named, shape } = matrix(name, 1, parts);
	return { name, shape: [shape[0]], parts: named };
}

/** RMSNorm with the weight `${module}.weight` of the checkpoint, `plus` added to it. */
export function norm(
	module: string,
	length: number,
	eps: number,
	plus = 0,
): Norm {
	const name = `${module}.weight`;
	const weight = vector(name, [[name, length]]);
	return { weight: plus === 0 ? weight : { ...weight, plus }, eps };
}
