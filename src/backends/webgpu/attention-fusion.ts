/** Which ops of a program one kernel may do together, and which heads are done in tall tiles: known before any step. */
import type { Heads, Norm, Op, Program } from "../program.ts";
import type { Abilities } from "./device.ts";
import {
	type FusedKind,
	fusedShape,
	numFusedBuffers,
} from "./kernels/attention-decode-fused.ts";
import {
	matrixPrefillShape,
	TALL_TILE,
} from "./kernels/attention-matrix-shape.ts";
import type { RopeOptions } from "./kernels/rope-text.ts";

type RopeOp = Extract<Op, { op: "ropeAndCache" }>;
type AttentionOp = Extract<Op, { op: "attention" }>;

/** The ropeAndCache that the attention's q, k and v come from, if it is the op right before. */
export function ropeBefore(
	{ ops }: Program,
	attention: AttentionOp,
): RopeOp | null {
	const before = ops[ops.indexOf(attention) - 1];
	if (before?.op !== "ropeAndCache") return null;
	const isSame =
		before.layer === attention.layer && before.qkv.name === attention.qkv.name;
	return isSame ? before : null;
}

export type HeadNorms = Pick<RopeOp, "qNorm" | "kNorm">;

/** The op's norms of each head by itself, and those of all heads of a token together, which norm_heads does. */
export function normsOf({ heads, qNorm, kNorm }: RopeOp): {
	readonly each: HeadNorms;
	readonly together: HeadNorms | null;
} {
	const isEach = (norm: Norm | null) =>
		norm !== null && norm.weight.shape[0] === heads.headDim;
	const pick = (ofEach: boolean): HeadNorms => ({
		qNorm: isEach(qNorm) === ofEach ? qNorm : null,
		kNorm: isEach(kNorm) === ofEach ? kNorm : null,
	});
	const together = pick(false);
	const isNone = together.qNorm === null && together.kNorm === null;
	return { each: pick(true), together: isNone ? null : together };
}

export const ropeOptions = ({
	rope,
	qNorm,
	kNorm,
}: Pick<RopeOp, "rope" | "qNorm" | "kNorm">): RopeOptions => ({
	ropeDims: 2 * (rope?.inverseFrequencies.length ?? 0),
	qNormEps: qNorm?.eps ?? null,
	kNormEps: kNorm?.eps ?? null,
});

/**
 * The attention_decode_fused kernels that can do every layer. Without subgroups their few workgroups would have too few threads; chunks
 * with all norms need a ninth storage buffer.
 */
export function fusedKinds(
	program: Program,
	abilities: Abilities,
): readonly FusedKind[] {
	const attentions = program.ops.filter((op) => op.op === "attention");
	const kinds: FusedKind[] = ["whole", "chunks"];
	if (abilities.subgroupSize === 1 || attentions.length === 0) return [];
	return kinds.filter((kind) =>
		attentions.every((op) => {
			const rope = ropeBefore(program, op);
			if (rope === null || normsOf(rope).together !== null) return false;
			const options = { ...ropeOptions(rope), hasSinks: op.sinks !== null };
			return (
				numFusedBuffers(options, kind) <= abilities.storageBuffers &&
				fusedShape(op.heads, abilities, kind) !== null
			);
		}),
	);
}

/** Whether attention_prefill_matrix has tiles of twice as many tokens for these heads. */
export function hasTallTiles(
	heads: Heads,
	abilities: Abilities,
	tileTokens: number,
): boolean {
	const plain = {
		heads,
		storage: "f16",
		blockSize: 1,
		scale: 1,
		slidingWindow: null,
		softCap: null,
		hasSinks: false,
	} as const;
	const shape = matrixPrefillShape(plain, abilities, 2 * tileTokens, TALL_TILE);
	return shape !== null;
}
