/** Which ops of a program one kernel may do together, and which heads are done in tall tiles: known before any step. */
import type { Heads, Op, Program } from "../program.ts";
import type { Abilities } from "./device.ts";
import { fusedShape } from "./kernels/attention-decode-fused.ts";
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

/** Whether attention_decode_fused can do every layer. Without subgroups its few workgroups would have too few threads. */
export function canFuseDecodes(
	program: Program,
	abilities: Abilities,
): boolean {
	const attentions = program.ops.filter((op) => op.op === "attention");
	return (
		abilities.subgroupSize > 1 &&
		attentions.length > 0 &&
		attentions.every(
			(op) =>
				ropeBefore(program, op) !== null &&
				fusedShape(op.heads, abilities) !== null,
		)
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
