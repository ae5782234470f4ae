/** How a tile of queries lies over subgroups and workgroup memory in attention_prefill_matrix, and whether it fits. Knows no WGSL. */
import type { Abilities } from "../device.ts";
import {
	type AttentionOptions,
	groupSize,
	tileHeads,
} from "./attention-text.ts";

export interface MatrixPrefillTuning {
	/** Positions of a tile, a multiple of 16. */
	readonly keys: number;
	/** Blocks of 16 rows a subgroup has. */
	readonly blocks: 1 | 2;
	/** Load a tile of keys and values into registers while the one before is used. */
	readonly prefetch: boolean;
}

/** Counts of vec4<u32> (eight halves, four f32) unless said otherwise. */
export interface MatrixShape extends MatrixPrefillTuning {
	/** Query heads that share the tile, and workgroups an item wants. */
	readonly heads: number;
	readonly groups: number;
	readonly subgroups: number;
	readonly threads: number;
	/** Of a row of keys; from one to the next in workgroup memory, which is odd; the same of a row of scores in f32. */
	readonly pieces: number;
	readonly pitch: number;
	readonly scorePitch: number;
	/** A tile of keys and one of values, or a block of queries of every subgroup. */
	readonly tileVectors: number;
	/** A subgroup's share of the keys, in which outputs are rescaled, and of the tile, from which they are written. */
	readonly rescaleVectors: number;
	readonly stageVectors: number;
	/** Matrices along a head, and along the keys. */
	readonly dimMatrices: number;
	readonly keyMatrices: number;
	/** Threads that share a row of scores, and keys that each of them has. */
	readonly lanesPerRow: number;
	readonly keysPerLane: number;
}

export const LANES = 32;
export const SIDE = 16;
const DEFAULTS: MatrixPrefillTuning = { keys: 32, blocks: 1, prefetch: false };
/** Of a tile of twice the tokens: as many subgroups, each with more to do between barriers. */
export const TALL_TILE: Partial<MatrixPrefillTuning> = { blocks: 2 };
const LARGEST_HEAD = 256;
/** A matrix of f32, alone and with its rows in different banks. */
const RESULT_VECTORS = 64;
const STAGED_VECTORS = 80;

/** null where the kernel cannot do it: the plain one then does. */
export function matrixPrefillShape(
	options: AttentionOptions,
	abilities: Abilities,
	tileTokens: number,
	tuning: Partial<MatrixPrefillTuning> = {},
): MatrixShape | null {
	const { headDim } = options.heads;
	const { keys, blocks, prefetch } = { ...DEFAULTS, ...tuning };
	const heads = tileHeads(options.heads);
	const subgroups = (tileTokens * heads) / (SIDE * blocks);
	const pitch = headDim / 8 + 1;
	const tileVectors = Math.max(2 * keys, SIDE * subgroups) * pitch;
	const scorePitch = keys / 4 + 1;
	const lanesPerRow = 2 / blocks;
	const shape = {
		keys,
		blocks,
		prefetch,
		heads,
		groups: (options.heads.numKvHeads * groupSize(options.heads)) / heads,
		subgroups,
		threads: LANES * subgroups,
		pieces: headDim / 8,
		pitch,
		scorePitch,
		tileVectors,
		rescaleVectors: Math.floor((keys * pitch) / subgroups),
		stageVectors: Math.floor(tileVectors / subgroups),
		dimMatrices: headDim / SIDE,
		keyMatrices: keys / SIDE,
		lanesPerRow,
		keysPerLane: keys / lanesPerRow,
	};
	const scoreVectors = tileTokens * heads * scorePitch;
	const bytes = 16 * (tileVectors + scoreVectors) + 16;
	const isWhole =
		headDim % SIDE === 0 &&
		tileTokens % SIDE === 0 &&
		Number.isInteger(subgroups) &&
		shape.keysPerLane % SIDE === 0;
	const fits =
		headDim <= LARGEST_HEAD &&
		bytes <= abilities.workgroupBytes &&
		shape.threads <= abilities.maxInvocations &&
		shape.rescaleVectors >= RESULT_VECTORS &&
		shape.stageVectors >= STAGED_VECTORS;
	const canMultiply = abilities.subgroupMatrix && options.storage === "f16";
	return canMultiply && isWhole && fits ? shape : null;
}

/** Text: the token, within the tile, of one of its rows. Blocks of 16 tokens of one head after another, heads first. */
export const tokenOfRow = ({ heads }: MatrixShape, row: string): string =>
	`(${row} / ${SIDE * heads}u * ${SIDE}u + ${row} % ${SIDE}u)`;
