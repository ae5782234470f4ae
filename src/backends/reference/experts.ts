/** The mixture of experts in plain loops: each token goes through its own experts alone, in the order of their weights. */
import type { Gating } from "../program.ts";
import { gate } from "./gating.ts";
import { addScaled, linear, type Matrix, matrixOf } from "./ops.ts";

export interface Experts {
	readonly numExperts: number;
	readonly topK: number;
	readonly normalize: boolean;
	readonly gating: Gating;
	readonly scale: number;
	/** [numExperts, H] */
	readonly router: Matrix;
	/** [numExperts] */
	readonly routerBias: Float32Array | null;
	/** [numExperts · 2I, H], of each expert its gate's rows, then its up's */
	readonly gateUp: Matrix;
	/** [numExperts · 2I] */
	readonly gateUpBias: Float32Array | null;
	/** [numExperts · H, I] */
	readonly down: Matrix;
	/** [numExperts · H] */
	readonly downBias: Float32Array | null;
}

/** residual[t] += scale · Σ_e w_e · expert_e(x[t]) over the topK experts of each token.  x, residual: [T, H] */
export function mixExperts(
	x: Matrix,
	numTokens: number,
	experts: Experts,
	residual: Matrix,
): void {
	const H = x.width;
	const scores = matrixOf(numTokens, experts.numExperts);
	linear(x, numTokens, experts.router, experts.routerBias, scores);
	for (let t = 0; t < numTokens; t++) {
		const row = (m: Matrix) => ({
			data: m.data.subarray(t * m.width, (t + 1) * m.width),
			width: m.width,
		});
		const sum = matrixOf(1, H);
		for (const { expert, weight } of route(row(scores).data, experts))
			addScaled(runExpert(row(x), expert, experts), 1, weight, sum);
		addScaled(sum, 1, experts.scale, row(residual));
	}
}

/** The topK experts of greatest softmax(scores), the first of equal ones, and what each counts. */
export function route(
	scores: Float32Array,
	{ topK, normalize }: Pick<Experts, "topK" | "normalize">,
): { readonly expert: number; readonly weight: number }[] {
	const max = scores.reduce((a, b) => Math.max(a, b), -Infinity);
	const exps = Array.from(scores, (score) => Math.exp(score - max));
	const chosen = [...exps.keys()]
		.sort((a, b) => scores[b] - scores[a] || a - b)
		.slice(0, topK);
	const counted = normalize ? chosen.map((e) => exps[e]) : exps;
	const total = counted.reduce((sum, v) => sum + v, 0);
	return chosen.map((expert) => ({ expert, weight: exps[expert] / total }));
}

/** down_e · gating(gateUp_e · x + gateUpBias_e) + downBias_e.  x: [1, H] */
function runExpert(x: Matrix, expert: number, experts: Experts): Matrix {
	const { gateUp, gateUpBias, down, downBias, gating } = experts;
	const I = down.width;
	const both = matrixOf(1, 2 * I);
	const gated = matrixOf(1, I);
	const output = matrixOf(1, x.width);
	const w = expertRows(gateUp, expert, 2 * I);
	linear(x, 1, w, expertPart(gateUpBias, expert, 2 * I), both);
	gate(both, 1, gating, gated);
	const v = expertRows(down, expert, x.width);
	linear(gated, 1, v, expertPart(downBias, expert, x.width), output);
	return output;
}

function expertRows(all: Matrix, expert: number, rows: number): Matrix {
	const size = rows * all.width;
	const data = all.data.subarray(expert * size, (expert + 1) * size);
	return { data, width: all.width };
}

function expertPart(
	all: Float32Array | null,
	expert: number,
	length: number,
): Float32Array | null {
	if (all === null) return null;
	return all.subarray(expert * length, (expert + 1) * length);
}
