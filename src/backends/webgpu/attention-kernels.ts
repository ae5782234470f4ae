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
	decodeGroupsPerItem,
	decodeShape,
} from "./kernels/attention-decode.ts";
import {
	attentionDecodeFused,
	type DecodeFusedOptions,
	fusedGroupsPerItem,
	fusedShape,
} from "./kernels/attention-decode-fused.ts";
import {
	type MatrixPrefillTuning,
	matrixPrefillShape,
	TALL_TILE,
} from "./kernels/attention-matrix-shape.ts";
import {
	attentionMerge,
	FEW_MERGED,
	MOST_MERGE_SLICES,
	mergeGrid,
} from "./kernels/attention-merge.ts";
import {
	attentionPrefill,
	prefillGrid,
	prefillTuning,
} from "./kernels/attention-prefill.ts";
import { attentionPrefillMatrix } from "./kernels/attention-prefill-matrix.ts";
import type { RowTuning } from "./kernels/attention-rows.ts";
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
	/** f32 [stride(headDim)], or [stride(heads · headDim)]: see norm-heads.ts */
	readonly qNorm: GPUBuffer;
	readonly kNorm: GPUBuffer;
	/** f32 [stride(numHeads)] */
	readonly sinks: GPUBuffer;
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
	readonly decode?: Partial<RowTuning>;
	/** Of either fused kernel. */
	readonly fused?: Partial<RowTuning>;
	/** null: the plain kernel in any case. */
	readonly matrix?: Partial<MatrixPrefillTuning> | null;
}

/**
 * In the order they are to run: decode writes rows and partial outputs, merge makes rows of the latter, prefill writes rows of its
 * own. `tileHeights`: the work's.
 */
export function attentionKernels(
	abilities: Abilities,
	options: AttentionOptions,
	tileHeights: readonly number[],
	tuning: AttentionTuning = {},
): readonly AttentionDispatch[] {
	const perItem = decodeGroupsPerItem(
		options,
		decodeShape(options, abilities, tuning.decode),
	);
	const { matrix = {} } = tuning;
	return [
		{
			kernel: attentionDecode(options, abilities, tuning.decode),
			grid: ({ numDecodeItems: n }) => (n === 0 ? null : [n, perItem]),
		},
		...mergeDispatches(abilities, options),
		...tileHeights.map((height, i) =>
			prefillDispatch(
				abilities,
				options,
				height,
				matrix && (i === 0 ? matrix : { ...matrix, ...TALL_TILE }),
			),
		),
	];
}

/** Merges of few items each, and of many; a step has one of them or none. */
export function mergeDispatches(
	abilities: Abilities,
	options: Pick<AttentionOptions, "heads" | "storage" | "hasSinks">,
): AttentionDispatch[] {
	return ([1, MOST_MERGE_SLICES] as const).map((slices) => ({
		kernel: attentionMerge({ ...options, slices }, abilities),
		grid: ({ numMerges: n, mostMerged }) =>
			n === 0 || mostMerged > FEW_MERGED !== slices > 1
				? null
				: mergeGrid({ ...options, slices }, abilities, n),
	}));
}

/** For steps with tiles of that height. With subgroup matrices where the device, the head size and the storage allow. */
function prefillDispatch(
	abilities: Abilities,
	options: AttentionOptions,
	height: number,
	matrix: Partial<MatrixPrefillTuning> | null,
): AttentionDispatch {
	const whenWanted =
		(gridOf: (numItems: number) => Grid) =>
		({ numPrefillItems: n, tileTokens }: AttentionWork) =>
			n === 0 || tileTokens !== height ? null : gridOf(n);
	const shape =
		matrix && matrixPrefillShape(options, abilities, height, matrix);
	if (matrix && shape)
		return {
			kernel: attentionPrefillMatrix(options, abilities, height, matrix),
			grid: whenWanted((n) => [n, shape.groups]),
		};
	const plain = prefillTuning(options, abilities);
	return {
		kernel: attentionPrefill(options, abilities, plain),
		grid: whenWanted((n) => prefillGrid(options, plain, n, height)),
	};
}

/** For fused steps of its kind, in place of all the others but the merges. @throws where the device has no room: see attention-fusion.ts */
export function fusedKernel(
	abilities: Abilities,
	options: DecodeFusedOptions,
	tuning: AttentionTuning = {},
): AttentionDispatch {
	const { kind } = options;
	const kernel = attentionDecodeFused(options, abilities, tuning.fused);
	const shape = fusedShape(options.heads, abilities, kind, tuning.fused);
	const perItem = shape ? fusedGroupsPerItem(options, shape) : 0;
	return {
		kernel,
		grid: ({ fused, numFusedItems: n }) =>
			fused === kind ? [n, perItem] : null,
	};
}

/** qNorm and kNorm are bound only where they have an eps. A fused step wants no dispatch of it. */
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
