/** Which ops of a program one kernel may do together, and which heads are done in tall tiles: known before any step. */
import type { Heads, Op, Program } from "../program.ts";
import type { Abilities } from "./device.ts";
import {
	CHUNK_BUFFERS,
	type FusedKind,
	fusedShape,
} from "./kernels/attention-decode-fused.ts";
import {
	matrixPrefillShape,
	TALL_TILE,
} from "./kernels/attention-matrix-shape.ts";

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

/**
 * The attention_decode_fused kernels that can do every layer. Without subgroups their few workgroups would have too few threads; chunks
 * need a ninth storage buffer.
 */
export function fusedKinds(
	program: Program,
	abilities: Abilities,
): readonly FusedKind[] {
	const attentions = program.ops.filter((op) => op.op === "attention");
	const kinds: FusedKind[] = ["whole"];
	if (abilities.storageBuffers >= CHUNK_BUFFERS) kinds.push("chunks");
	if (abilities.subgroupSize === 1 || attentions.length === 0) return [];
	return kinds.filter((kind) =>
		attentions.every(
			(op) =>
				ropeBefore(program, op) !== null &&
				fusedShape(op.heads, abilities, kind) !== null,
		),
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
	} as const;
	const shape = matrixPrefillShape(plain, abilities, 2 * tileTokens, TALL_TILE);
	return shape !== null;
}
