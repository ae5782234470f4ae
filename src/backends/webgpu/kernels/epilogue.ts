/** What becomes of a linear's sums, as text shared by its kernels. */
import type { Gating } from "../../program.ts";
import { f32 } from "../wgsl.ts";
import type { LinearShape } from "./linear.ts";

/** gpt-oss's gate goes through x · sigmoid(1.702 x), a fit of GELU. */
const SWIGLU_ALPHA = 1.702;
/** Of Hendrycks and Gimpel's fit: √(2/π), twice, as tanh(u) = 2 · sigmoid(2u) − 1. */
const GELU_SCALE = 2 * Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;

/** Body of a function of `gate` and `up`, numbers or vectors. */
function gatedBody(gating: Gating): string {
	if (gating.kind === "clamped_swiglu") {
		const limit = f32(gating.limit);
		return `let g = min(gate, VEC(${limit}));
  return (clamp(up, VEC(-${limit}), VEC(${limit})) + 1.0) * g / (1.0 + exp(-${SWIGLU_ALPHA} * g));`;
	}
	switch (gating.activation) {
		case "silu":
			return "return gate / (1.0 + exp(-gate)) * up;";
		case "gelu_tanh":
			return `return gate / (1.0 + exp(-${GELU_SCALE} * (gate + ${GELU_CUBIC} * gate * gate * gate))) * up;`;
		default:
			return gating.activation satisfies never;
	}
}

const SILU: Gating = { kind: "gated", activation: "silu" };

/** `gated(gate, up)` of numbers, or of vec4. */
export function gatedFunction(
	{ gating = SILU }: Pick<LinearShape, "gating">,
	type: "f32" | "vec4<f32>" = "f32",
): string {
	return `
fn gated(gate: ${type}, up: ${type}) -> ${type} {
  ${gatedBody(gating).replaceAll("VEC", type)}
}`;
}

/** Whether sums are more than copied or added. */
export const isFinished = ({ scale, softCap }: LinearShape): boolean =>
	scale !== undefined || softCap !== undefined;

/**
 * Text of scale · y, soft-capped: what `add` adds and `logits` writes. y: text of a number or a vector. tanh is written out,
 * since that of large numbers, and of none, is NaN on some devices and not on others: here NaN stays NaN, and large ones meet the cap.
 */
export function finished(
	{ scale = 1, softCap }: LinearShape,
	y: string,
): string {
	if (softCap !== undefined) {
		const twice = f32((2 * scale) / softCap);
		return `${f32(softCap)} * (1.0 - 2.0 / (exp(${twice} * (${y})) + 1.0))`;
	}
	return scale === 1 ? y : `${f32(scale)} * (${y})`;
}

/** The part of a label that tells them apart. */
export function finishLabel({ gating, scale, softCap }: LinearShape): string {
	const parts = [];
	if (gating?.kind === "clamped_swiglu") parts.push(`swiglu${gating.limit}`);
	if (gating?.kind === "gated") parts.push(gating.activation);
	if (scale !== undefined) parts.push(`times${scale}`);
	if (softCap !== undefined) parts.push(`cap${softCap}`);
	return parts.map((part) => `+${part}`).join("");
}
