/** The task of a mixture of experts, and the room its routing takes. */
import type { Limits } from "../backend.ts";
import type { Op, Program } from "../program.ts";
import type { Arena } from "./arena.ts";
import { GATING } from "./kernels.ts";
import { type LinearParts, linear, panelsOf } from "./linear-tasks.ts";
import type { Places } from "./places.ts";
import type { ExpertsTask, RoutingPlaces } from "./plan.ts";

type MixtureOp = Extract<Op, { op: "mixtureOfExperts" }>;

/** Tokens a mixture of experts takes at a time: enough to meet each expert's weights often, few enough to take little room. */
const EXPERT_TOKENS = 1024;

const isMixture = (op: Op): op is MixtureOp => op.op === "mixtureOfExperts";

const tokensAtOnce = ({ maxNumBatchedTokens }: Limits): number =>
	Math.min(EXPERT_TOKENS, maxNumBatchedTokens);

/** Room for the mixture that wants most; null: there is none. */
export function placeRouting(
	program: Program,
	arena: Arena,
	limits: Limits,
): RoutingPlaces | null {
	const ops = program.ops.filter(isMixture);
	if (ops.length === 0) return null;
	const numTokens = tokensAtOnce(limits);
	const most = (of: (op: MixtureOp) => number) => Math.max(...ops.map(of));
	const numExperts = most((op) => op.numExperts);
	const choices = numTokens * most((op) => op.topK);
	const words = (count: number) => arena.take(count * 4);
	return {
		logits: words((numTokens + 1) * numExperts),
		ids: words(choices),
		weights: words(choices),
		starts: words(numExperts + 1),
		groupStarts: words(numExperts + 1),
		next: words(numExperts),
		tokens: words(choices),
		slots: words(choices),
		factors: words(choices),
		hidden: words(numTokens * most((op) => op.topK * op.down.shape[1])),
	};
}

/** Groups of rows the mixtures fill at most: experts share none, so that each may leave one unfilled. */
export function expertGroupsOf(program: Program, limits: Limits): number {
	const counts = program.ops.filter(isMixture).map(({ topK, numExperts }) => {
		const choices = tokensAtOnce(limits) * topK;
		return Math.ceil((choices + 3 * Math.min(numExperts, choices)) / 4);
	});
	return Math.max(0, ...counts);
}

export function expertsTask(
	op: MixtureOp,
	places: Places,
	limits: Limits,
	routing: RoutingPlaces | null,
): ExpertsTask {
	if (routing === null)
		throw new Error("nano-vllm bug: a mixture has no room for its routing");
	const { gating, residual, norm } = op;
	const router: LinearParts = {
		mode: "store",
		input: residual,
		norm,
		weight: op.router,
		bias: op.routerBias,
		output: routing.logits,
	};
	return {
		kind: "experts",
		maxTokens: tokensAtOnce(limits),
		numExperts: op.numExperts,
		topK: op.topK,
		normalize: op.normalize,
		scale: op.scale,
		router: linear(op, router, places),
		gateUp: panelsOf(places, op, op.gateUp, op.gateUpBias),
		gating: GATING[gating.kind === "gated" ? gating.activation : gating.kind],
		limit: gating.kind === "gated" ? 0 : gating.limit,
		down: panelsOf(places, op, op.down, op.downBias),
		routing,
	};
}
