/**
 * The dispatches of the ops ropeAndCache and attention: which kernels a device gets for them, and how many workgroups a step's
 * work wants. A kernel's bindings are named as the buffers they want (AttentionBuffers), in binding order.
 */
import type { AttentionWork } from "./attention-work.ts";
import type { Abilities } from "./device.ts";
import type { Grid } from "./dispatch.ts";
import type { Kernel } from "./kernel.ts";
import {
	attentionDecode,
	type DecodeTuning,
	decodeGroupsPerItem,
	decodeShape,
} from "./kernels/attention-decode.ts";
import {
	type MatrixPrefillTuning,
	matrixPrefillShape,
} from "./kernels/attention-matrix-shape.ts";
import { attentionMerge } from "./kernels/attention-merge.ts";
import {
	attentionPrefill,
	prefillGrid,
	prefillTuning,
} from "./kernels/attention-prefill.ts";
import { attentionPrefillMatrix } from "./kernels/attention-prefill-matrix.ts";
import type { AttentionOptions } from "./kernels/attention-text.ts";
import {
	type RopeAndCacheOptions,
	ropeAndCache,
	ropeAndCacheGrid,
} from "./kernels/rope-and-cache.ts";

/** Everything the kernels bind, by the names in their bindings. */
export interface AttentionBuffers {
	/** [T][stride((numHeads + 2 · numKvHeads) · headDim)] */
	readonly qkv: GPUBuffer;
	/** [T][stride(numHeads · headDim)]; columns beyond the heads are left as they are (zero in a buffer nobody else writes). */
	readonly output: GPUBuffer;
	readonly keys: GPUBuffer;
	readonly values: GPUBuffer;
	/** vec4<u32> [T]: layout.ts */
	readonly tokens: GPUBuffer;
	/** Of `ropeTable` in rope-table.ts. */
	readonly ropeTable: GPUBuffer;
	/** f32 [stride(headDim)] */
	readonly qNorm: GPUBuffer;
	readonly kNorm: GPUBuffer;
	/** The rest are AttentionWork's. */
	readonly decodeItems: GPUBuffer;
	readonly decodeMerges: GPUBuffer;
	readonly prefillItems: GPUBuffer;
	readonly blockTables: GPUBuffer;
	readonly partials: GPUBuffer;
}

export interface AttentionDispatch {
	readonly kernel: Kernel;
	/** null: the step has no such work. */
	readonly grid: (work: AttentionWork) => Grid | null;
}

export interface AttentionTuning {
	readonly decode?: Partial<DecodeTuning>;
	/** null: the plain kernel in any case. */
	readonly matrix?: Partial<MatrixPrefillTuning> | null;
}

/**
 * In the order they are to run: decode writes rows and partial outputs, merge makes rows of the latter, prefill writes rows of its
 * own. `tileTokens`: the work's.
 */
export function attentionKernels(
	abilities: Abilities,
	options: AttentionOptions,
	tileTokens: number,
	tuning: AttentionTuning = {},
): readonly AttentionDispatch[] {
	const { numHeads } = options.heads;
	const perItem = decodeGroupsPerItem(
		options,
		decodeShape(options, abilities, tuning.decode),
	);
	return [
		{
			kernel: attentionDecode(options, abilities, tuning.decode),
			grid: ({ numDecodeItems: n }) => (n === 0 ? null : [n, perItem]),
		},
		{
			kernel: attentionMerge(options, abilities),
			grid: ({ numMerges: n }) => (n === 0 ? null : [n, numHeads]),
		},
		prefillDispatch(abilities, options, tileTokens, tuning),
	];
}

/** With subgroup matrices where the device, the head size and the storage allow. */
function prefillDispatch(
	abilities: Abilities,
	options: AttentionOptions,
	tileTokens: number,
	{ matrix = {} }: AttentionTuning,
): AttentionDispatch {
	const shape =
		matrix && matrixPrefillShape(options, abilities, tileTokens, matrix);
	if (matrix && shape)
		return {
			kernel: attentionPrefillMatrix(options, abilities, tileTokens, matrix),
			grid: ({ numPrefillItems: n }) => (n === 0 ? null : [n, shape.groups]),
		};
	const plain = prefillTuning(options, abilities);
	return {
		kernel: attentionPrefill(options, abilities, plain),
		grid: ({ numPrefillItems: n }) =>
			n === 0 ? null : prefillGrid(options, plain, n, tileTokens),
	};
}

/** qNorm and kNorm are bound only where they have an eps. */
export function ropeKernel(
	abilities: Abilities,
	options: RopeAndCacheOptions,
): {
	readonly kernel: Kernel;
	readonly grid: (numTokens: number) => Grid;
} {
	return {
		kernel: ropeAndCache(options, abilities),
		grid: (numTokens) => ropeAndCacheGrid(options, abilities, numTokens),
	};
}
