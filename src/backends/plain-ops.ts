/** What a backend that knows only the plain forms of ops refuses, by the feature's name, before it loads anything. */
import { NanoVllmError } from "../errors.ts";
import type { Backend } from "./backend.ts";
import type { Op, Program } from "./program.ts";

/** @throws unsupported_model */
export function checkPlainOps(
	program: Program,
	backend: Backend["name"],
): void {
	for (const op of program.ops) {
		const feature = featureOf(op);
		if (feature !== null)
			throw new NanoVllmError(
				"unsupported_model",
				`${program.name} needs ${feature}, which device "${backend}" does not have yet. Use device "reference".`,
			);
	}
}

/** What is not plain about an op; null where everything is. */
function featureOf(op: Op): string | null {
	switch (op.op) {
		case "embed":
			return op.scale === 1 ? null : "scaled embeddings";
		case "normLinear":
			return op.norm === null ? "layers without a norm before them" : null;
		case "ropeAndCache":
			return ropeFeature(op);
		case "attention":
			if (op.sinks !== null) return "attention sinks";
			return op.softCap === null ? null : "soft-capped attention scores";
		case "linearAdd":
			if (op.postNorm !== null) return "norms after a layer";
			return op.scale === 1 ? null : "scaled additions to the residual";
		case "normGatedLinear":
			if (op.norm === null) return "layers without a norm before them";
			if (op.bias !== null) return "biases of a gated layer";
			return op.activation === "silu" ? null : `activation ${op.activation}`;
		case "mixtureOfExperts":
			return "a mixture of experts";
		case "gate":
		case "normAdd":
		case "lora":
			return "adapters";
		case "logits":
			if (op.softCap !== null) return "soft-capped logits";
			return op.scale === 1 ? null : "scaled logits";
		case "sample":
			return null;
		default:
			return op satisfies never;
	}
}

function ropeFeature({
	heads,
	qNorm,
	kNorm,
	rope,
}: Extract<Op, { op: "ropeAndCache" }>): string | null {
	if (rope === null) return "layers without positions";
	if (2 * rope.inverseFrequencies.length !== heads.headDim)
		return "a partial rotary embedding";
	if (rope.scale !== 1) return "a scaled rotary embedding";
	const isPerHead = [qNorm, kNorm].every(
		(norm) => norm === null || norm.weight.shape[0] === heads.headDim,
	);
	return isPerHead ? null : "norms over all heads together";
}
