/**
 * Strings kernels together: for every op of the program, and for few, some and many tokens, the dispatches that do it, with
 * pipelines and bind groups made once.
 */
import { partialElements } from "./addition-plan.ts";
import type { Dispatch } from "./dispatch.ts";
import { embed, embedGrid } from "./kernels/embed.ts";
import { rmsNorm, rowGrid } from "./kernels/rms-norm.ts";
import { buildLayers } from "./layer-plan.ts";
import { linearDispatches } from "./linear-plan.ts";
import {
	dispatchOf,
	matrixOf,
	type PlanParts,
	vectorOf,
} from "./plan-parts.ts";

export interface Plan {
	/** By the parity of the step: ids of the step before lie in the other half of the sampler's buffers. */
	readonly embed: readonly [readonly Dispatch[], readonly Dispatch[]];
	/** From the residual of the embedding to that of the last layer. */
	layers(numTokens: number): readonly Dispatch[];
	/** From the residual to `numRows` rows of logits, those of slice `slice`. */
	logits(slice: number, numRows: number): readonly Dispatch[];
}

/** Steps of at most so many tokens share their kernels; the last regime has no end. */
const REGIMES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];

/** @throws out_of_memory by way of `gpu.guarded` */
export async function buildPlan(parts: PlanParts): Promise<Plan> {
	const { limits, sliceRows, maxRows } = parts;
	const tokenRegimes = regimesUpTo(limits.maxNumBatchedTokens);
	const rowRegimes = regimesUpTo(sliceRows);
	const mostPartials = Math.max(
		...tokenRegimes.map((most) => partialElements(parts, most)),
	);
	const partials = parts.activations.scratch("partials", mostPartials);
	// Few models have them, and all would load their kernels.
	const experts = parts.program.ops.some(({ op }) => op === "mixtureOfExperts")
		? (await import("./expert-plan.ts")).openExperts(parts, tokenRegimes)
		: null;
	const layers = await Promise.all(
		tokenRegimes.map((most) => buildLayers(parts, { partials, experts }, most)),
	);
	const slices = Array.from(
		{ length: Math.ceil(maxRows / sliceRows) },
		(_, slice) =>
			Promise.all(rowRegimes.map((most) => buildLogits(parts, slice, most))),
	);
	const logits = await Promise.all(slices);
	const embedding = await Promise.all([
		buildEmbed(parts, 0),
		buildEmbed(parts, 1),
	]);
	return {
		embed: embedding,
		layers: (numTokens) => layers[regimeOf(tokenRegimes, numTokens)],
		logits: (slice, numRows) => logits[slice][regimeOf(rowRegimes, numRows)],
	};
}

function regimesUpTo(most: number): number[] {
	return [...REGIMES.filter((count) => count < most), most];
}

function regimeOf(regimes: readonly number[], count: number): number {
	return regimes.findIndex((most) => count <= most);
}

function buildEmbed(parts: PlanParts, parity: number): Promise<Dispatch[]> {
	const { program, weights, tokens, sampler, activations } = parts;
	const { vocabSize } = program;
	return Promise.all(
		program.ops.flatMap((op) => {
			if (op.op !== "embed") return [];
			const { format, weight, slices } = matrixOf(weights, op.weight);
			return slices.map(({ rowStart, rows, values, scales }) =>
				dispatchOf(
					parts,
					embed({
						format,
						columns: weight.shape[1],
						vocabSize,
						scale: op.scale,
						firstRow: rowStart,
						rows,
					}),
					[
						tokens,
						sampler.sampled[1 - parity],
						values,
						...(scales ? [scales] : []),
						activations.of(op.output),
					],
					embedGrid,
				),
			);
		}),
	);
}

/** Norm of the slice's rows, then their logits. */
function buildLogits(
	parts: PlanParts,
	slice: number,
	most: number,
): Promise<Dispatch[]> {
	const { gpu, program, weights, activations, storage, sliceRows } = parts;
	const rows = { buffer: parts.rows, offset: 4 * slice * sliceRows };
	return Promise.all(
		program.ops.flatMap((op) => {
			if (op.op !== "logits") return [];
			const { eps, weight } = op.norm;
			const kernel = rmsNorm(
				{
					width: op.input.width,
					eps,
					storage,
					gather: true,
					split: null,
					bias: false,
				},
				gpu.abilities,
			);
			const norm = [
				activations.of(op.input),
				rows,
				vectorOf(weights, weight),
				activations.normed,
			];
			return [
				dispatchOf(parts, kernel, norm, rowGrid),
				...linearDispatches(parts, {
					weight: op.weight,
					bias: null,
					epilogue: "logits",
					...(op.scale === 1 ? {} : { scale: op.scale }),
					...(op.softCap === null ? {} : { softCap: op.softCap }),
					most,
					norm: null,
					input: activations.normed,
					output: parts.logits,
					outputBytes: 4,
				}),
			];
		}),
	);
}
