/** How a gate and its up become one, element by element. Knows no weights. */
import type { ActivationFunction, Gating } from "../program.ts";
import type { Matrix } from "./ops.ts";

/** Hendrycks and Gimpel's fit of x · Φ(x). */
const GELU_SCALE = Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;
/** gpt-oss's: the gate goes through x · sigmoid(1.702 x), another fit of the same. */
const SWIGLU_ALPHA = 1.702;

/** out[t, i] = gating(x[t, i], x[t, F + i]).  x: [T, 2F], gates first; out: [T, F] */
export function gate(
	x: Matrix,
	numTokens: number,
	gating: Gating,
	out: Matrix,
): void {
	const { width } = out;
	const join = gatingOf(gating);
	for (let t = 0; t < numTokens; t++) {
		for (let i = 0; i < width; i++) {
			const at = t * 2 * width + i;
			out.data[t * width + i] = join(x.data[at], x.data[at + width]);
		}
	}
}

function gatingOf(gating: Gating): (gate: number, up: number) => number {
	switch (gating.kind) {
		case "gated": {
			const act = activationOf(gating.activation);
			return (gate, up) => act(gate) * up;
		}
		case "clamped_swiglu": {
			const { limit } = gating;
			return (gate, up) => {
				const g = Math.min(gate, limit);
				const u = Math.max(-limit, Math.min(up, limit));
				return (u + 1) * (g / (1 + Math.exp(-SWIGLU_ALPHA * g)));
			};
		}
		default:
			return gating satisfies never;
	}
}

function activationOf(name: ActivationFunction): (x: number) => number {
	switch (name) {
		case "silu":
			return (x) => x / (1 + Math.exp(-x));
		case "gelu_tanh":
			return (x) =>
				(x / 2) * (1 + Math.tanh(GELU_SCALE * (x + GELU_CUBIC * x * x * x)));
		default:
			return name satisfies never;
	}
}
