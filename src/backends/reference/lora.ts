/** Adapters in plain loops: each token by itself, through the matrices of its slot. */
import type { AdapterWeights, StepInput } from "../backend.ts";
import type { AdapterTarget } from "../program.ts";
import { dot, type Matrix } from "./ops.ts";

/** output[t, firstRow + o] += scale · Σ_r b[o, r] · (Σ_i a[r, i] · x[t, i]) for the tokens of every slot that holds an adapter */
export function addAdapters(
	x: Matrix,
	targets: readonly AdapterTarget[],
	scale: number,
	slots: readonly (AdapterWeights | null)[],
	{ adapterTokens, adapterStart }: StepInput,
	output: Matrix,
): void {
	for (const [slot, adapter] of slots.entries()) {
		const tokens = adapterTokens.subarray(
			adapterStart[slot],
			adapterStart[slot + 1],
		);
		for (const target of targets)
			for (const t of tokens) addTarget(x, t, target, scale, adapter, output);
	}
}

function addTarget(
	x: Matrix,
	t: number,
	{ name, firstRow, rows }: AdapterTarget,
	scale: number,
	adapter: AdapterWeights | null,
	output: Matrix,
): void {
	const matrices = adapter?.targets.get(name);
	if (matrices === undefined) return;
	const { a, b, rank } = matrices;
	const small = new Float32Array(rank);
	for (let r = 0; r < rank; r++)
		small[r] = dot(x.data, t * x.width, a, r * x.width, x.width);
	const start = t * output.width + firstRow;
	for (let o = 0; o < rows; o++)
		output.data[start + o] += scale * dot(small, 0, b, o * rank, rank);
}
