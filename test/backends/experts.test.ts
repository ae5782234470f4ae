/** Gatings and the mixture of experts of the reference backend against their formulas, written down again in f64. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Gating } from "../../src/backends/program.ts";
import {
	type Experts,
	mixExperts,
	route,
} from "../../src/backends/reference/experts.ts";
import { gate } from "../../src/backends/reference/gating.ts";
import type { Matrix } from "../../src/backends/reference/ops.ts";
import { randomSource } from "../support/random.ts";

const SILU: Gating = { kind: "gated", activation: "silu" };
const GELU: Gating = { kind: "gated", activation: "gelu_tanh" };
const CLAMPED: Gating = { kind: "clamped_swiglu", limit: 1.5 };

const random = randomSource(11);
const noise = (length: number) => random.vector(length, 3);
const matrix = (rows: number, width: number): Matrix => ({
	data: noise(rows * width),
	width,
});

function close(got: ArrayLike<number>, want: readonly number[]): void {
	assert.equal(got.length, want.length);
	want.forEach((w, i) => {
		const bound = 1e-5 + 1e-5 * Math.abs(w);
		assert.ok(Math.abs(got[i] - w) <= bound, `[${i}]: ${got[i]}, wanted ${w}`);
	});
}

/** The formulas of program.ts, one pair at a time. */
function joined(gating: Gating, g: number, u: number): number {
	if (gating.kind === "clamped_swiglu") {
		const [cut, up] = [
			g > gating.limit ? gating.limit : g,
			Math.sign(u) * Math.min(Math.abs(u), gating.limit),
		];
		return ((up + 1) * cut) / (1 + Math.exp(-1.702 * cut));
	}
	if (gating.activation === "silu") return (g * u) / (1 + Math.exp(-g));
	const inner = Math.sqrt(2 / Math.PI) * (g + 0.044715 * g ** 3);
	return (g / 2) * (1 + Math.tanh(inner)) * u;
}

test("gate joins each gate with its up", () => {
	const [T, F] = [3, 5];
	for (const gating of [SILU, GELU, CLAMPED]) {
		const x = matrix(T, 2 * F);
		const out = { data: new Float32Array(T * F).fill(NaN), width: F };
		gate(x, T, gating, out);
		const want = Array.from(out.data, (_, i) => {
			const at = Math.floor(i / F) * 2 * F + (i % F);
			return joined(gating, x.data[at], x.data[at + F]);
		});
		close(out.data, want);
	}
});

test("gates far from zero neither overflow nor lose the sign of what is left", () => {
	const x = { data: Float32Array.from([-1000, 1000, 2, 3]), width: 4 };
	const out = { data: new Float32Array(2), width: 2 };
	for (const [gating, want] of [
		[SILU, [-0, 3000]],
		[GELU, [-0, 3000]],
		[CLAMPED, [-0, (2.5 * 1.5) / (1 + Math.exp(-1.702 * 1.5))]],
	] as const) {
		gate(x, 1, gating, out);
		close(out.data, want);
	}
});

test("route takes the most likely experts, the first of equal ones, normalised or not", () => {
	const scores = Float32Array.from([1, 3, 2, 3, 0]);
	const total = scores.reduce((sum, s) => sum + Math.exp(s), 0);
	const plain = route(scores, { topK: 3, normalize: false });
	assert.deepEqual(
		plain.map((r) => r.expert),
		[1, 3, 2],
	);
	close(
		plain.map((r) => r.weight),
		[3, 3, 2].map((s) => Math.exp(s) / total),
	);
	const normal = route(scores, { topK: 2, normalize: true });
	assert.deepEqual(normal, [
		{ expert: 1, weight: 0.5 },
		{ expert: 3, weight: 0.5 },
	]);
});

test("mixExperts adds the weighted experts of each token to the residual", () => {
	const [T, H, I, E] = [6, 7, 5, 9];
	for (const [gating, topK, normalize, biased, scale] of [
		[SILU, 1, false, false, 1],
		[SILU, 4, true, false, 1],
		[CLAMPED, 3, true, true, 0.5],
		[GELU, E, false, true, 1],
	] as const) {
		const biasOf = (length: number) => (biased ? noise(length) : null);
		const experts: Experts = {
			numExperts: E,
			topK,
			normalize,
			gating,
			scale,
			router: matrix(E, H),
			routerBias: biasOf(E),
			gateUp: matrix(E * 2 * I, H),
			gateUpBias: biasOf(E * 2 * I),
			down: matrix(E * H, I),
			downBias: biasOf(E * H),
		};
		const x = matrix(T, H);
		const residual = matrix(T, H);
		const want = Array.from({ length: T }, (_, t) =>
			mixed(
				Array.from(x.data.subarray(t * H, (t + 1) * H)),
				Array.from(residual.data.subarray(t * H, (t + 1) * H)),
				experts,
			),
		).flat();
		mixExperts(x, T, experts, residual);
		close(residual.data, want);
	}
});

/** One token's new residual: every expert is computed, those not chosen count nothing. */
function mixed(x: number[], residual: number[], e: Experts): number[] {
	const I = e.down.width;
	const product = (w: Matrix, row: number, v: number[], b: number) =>
		v.reduce((sum, value, i) => sum + value * w.data[row * w.width + i], b);
	const scores = Array.from({ length: e.numExperts }, (_, i) =>
		product(e.router, i, x, e.routerBias?.[i] ?? 0),
	);
	const exps = scores.map(Math.exp);
	const isChosen = scores.map(
		(s) => scores.filter((other) => other > s).length < e.topK,
	);
	const counted = exps.filter((_, i) => isChosen[i] || !e.normalize);
	const total = counted.reduce((a, b) => a + b, 0);
	const expert = (i: number): number[] => {
		const row = (r: number) => {
			const at = i * 2 * I + r;
			return product(e.gateUp, at, x, e.gateUpBias?.[at] ?? 0);
		};
		const gated = Array.from({ length: I }, (_, j) =>
			joined(e.gating, row(j), row(I + j)),
		);
		return x.map((_, h) => {
			const at = i * x.length + h;
			return product(e.down, at, gated, e.downBias?.[at] ?? 0);
		});
	};
	const outputs = exps.map((_, i) => expert(i));
	return residual.map((r, h) =>
		exps.reduce(
			(sum, p, i) =>
				isChosen[i] ? sum + (e.scale * p * outputs[i][h]) / total : sum,
			r,
		),
	);
}
