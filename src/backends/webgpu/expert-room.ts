/** The buffers that mixtures of experts pass rows through, large enough for every such op and step of a program; layers share them. */
import {
	chunkTokens,
	type ExpertsOp,
	expertRows,
	routerSpec,
	tilingOf,
} from "./expert-shapes.ts";
import { mostTiles } from "./kernels/place-experts.ts";
import { BYTES, paddedRows, stride } from "./layout.ts";
import { splitOf } from "./linear-plan.ts";
import type { PlanParts } from "./plan-parts.ts";

/** What is in them: see the kernels route-tokens, place-experts, gather-rows and combine-experts. */
export interface ExpertRoom {
	readonly scores: GPUBuffer;
	readonly routes: GPUBuffer;
	readonly counts: GPUBuffer;
	readonly ranks: GPUBuffer;
	readonly firstRows: GPUBuffer;
	readonly tileExperts: GPUBuffer;
	readonly places: GPUBuffer;
	/** Of the residual's width: first what experts read, then what they write. */
	readonly rows: GPUBuffer;
	/** Of the experts' own width, by it: a row's padding is zero from the start, and nobody's to write. */
	readonly gated: ReadonlyMap<number, GPUBuffer>;
}

type Sizes = Readonly<Record<keyof ExpertRoom, number>> & {
	readonly width: number;
};

/** In elements of 4 bytes. */
function sizesFor(parts: PlanParts, op: ExpertsOp, most: number): Sizes {
	const { numExperts, topK } = op;
	const tiling = tilingOf(parts, op, most);
	const tokens = chunkTokens(parts, op, tiling, most);
	const rows = paddedRows(expertRows(op, tiling, tokens));
	const words = BYTES[parts.storage] / 4;
	const split = splitOf(parts, routerSpec(op, most, null));
	const scoreRows = split ? split.splits * split.rows : paddedRows(most);
	const tile = tiling?.tile ?? 1;
	const width = op.down.shape[1];
	return {
		width,
		scores: scoreRows * stride(numExperts),
		routes: 2 * tokens * topK,
		counts: numExperts,
		ranks: tokens * topK,
		firstRows: numExperts,
		tileExperts: 1 + mostTiles({ numExperts, tile }, tokens * topK),
		places: tokens * topK,
		rows: rows * stride(op.residual.width) * words,
		gated: rows * stride(width) * words,
	};
}

/** `regimes`: the most tokens of steps that share their kernels. null: the program has no experts. */
export function createExpertRoom(
	parts: PlanParts,
	regimes: readonly number[],
): ExpertRoom | null {
	const sizes = parts.program.ops.flatMap((op) =>
		op.op === "mixtureOfExperts"
			? regimes.map((most) => sizesFor(parts, op, most))
			: [],
	);
	if (sizes.length === 0) return null;
	const create = (name: keyof ExpertRoom, of = sizes, label: string = name) =>
		parts.activations.scratch(
			`experts' ${label}`,
			Math.max(...of.map((size) => size[name])),
		);
	const widths = new Set(sizes.map(({ width }) => width));
	const gatedOf = (width: number) => {
		const own = sizes.filter((size) => size.width === width);
		return create("gated", own, `gated of ${width}`);
	};
	return {
		scores: create("scores"),
		routes: create("routes"),
		counts: create("counts"),
		ranks: create("ranks"),
		firstRows: create("firstRows"),
		tileExperts: create("tileExperts"),
		places: create("places"),
		rows: create("rows"),
		gated: new Map(Array.from(widths, (width) => [width, gatedOf(width)])),
	};
}
