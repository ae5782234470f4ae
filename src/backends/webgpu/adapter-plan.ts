/** What adapters add to the plan of a linear: one dispatch before it, and columns that the linear itself multiplies. */
import type { Op } from "../program.ts";
import { adapterTile } from "./adapter-items.ts";
import type { AdapterRoom, OpSlots } from "./adapter-room.ts";
import type { Dispatch } from "./dispatch.ts";
import type { LoraColumns } from "./kernels/lora-columns.ts";
import {
	type LoraShrinkOptions,
	loraShrink,
	loraShrinkGrid,
} from "./kernels/lora-shrink.ts";
import { normShrink, normShrinkFits } from "./kernels/norm-shrink.ts";
import { type RmsNormOptions, rowGrid } from "./kernels/rms-norm.ts";
import type { Storage } from "./layout.ts";
import { MOST_VECTOR_TOKENS } from "./linear-choice.ts";
import { type Bound, dispatchOf, type PlanParts } from "./plan-parts.ts";

/** Adapters of one linear in steps of at most so many tokens. */
export interface LinearLora {
	readonly room: AdapterRoom;
	readonly slots: OpSlots;
	/** Of the whole matrix. */
	readonly columns: LoraColumns;
}

/** null: the linear is as it is, in this op or in these steps. */
export function loraOf(
	{ adapters, storage }: PlanParts,
	op: Op,
	most: number,
	adapted: boolean,
): LinearLora | null {
	const slots = adapters?.slotsOf(op);
	if (!adapted || !adapters || !slots) return null;
	const { rank, numSlots } = adapters;
	const { firstRows, half, slotRows } = slots;
	// Without its norm's scale a row may be more than a half can hold.
	const small: Storage = most <= MOST_VECTOR_TOKENS ? "f32" : storage;
	const shape = { firstRows, half, slotRows, firstRow: 0, storage: small };
	return { room: adapters, slots, columns: { rank, numSlots, ...shape } };
}

/** What a kernel with these columns binds behind all else. */
export const loraBuffers = ({ room, slots }: LinearLora): GPUBuffer[] => [
	room.small,
	slots.b,
	room.used,
];

/** Rows of x as the linear reads them; normWeight: x is the f32 residual, whose norm the linear does. */
export function shrinkDispatch(
	parts: PlanParts,
	{ room, slots, columns }: LinearLora,
	x: Bound,
	normWeight: Bound | null,
	most: number,
): Promise<Dispatch> {
	const { rank, numSlots, firstRows, storage: small } = columns;
	const { storage, gpu } = parts;
	const options: LoraShrinkOptions = {
		width: slots.width,
		numTargets: firstRows.length,
		rank,
		numSlots,
		input: normWeight ? "f32" : storage,
		storage,
		small,
		weighted: normWeight !== null,
		tile: adapterTile(most),
	};
	const { items, list, used } = room;
	const weight = normWeight ? [normWeight] : [];
	return dispatchOf(
		parts,
		loraShrink(options, gpu.abilities),
		[items, list, x, ...weight, slots.a, used, room.small],
		() => loraShrinkGrid(room.numItems, options),
	);
}

/** Of more tokens each has a's rows to itself too often: 256 read 25 MB of caches for 48 rows of 1,024. */
const MOST_NORM_SHRINK_TOKENS = 256;

/** Whether a norm before the linear takes its rows through a as well. */
export const normShrinks = (
	{ gpu }: PlanParts,
	{ slots, columns }: LinearLora,
	most: number,
): boolean =>
	most <= MOST_NORM_SHRINK_TOKENS &&
	normShrinkFits(
		slots.width,
		columns.firstRows.length * columns.rank,
		gpu.abilities,
	);

/** `buffers`: those of the norm. */
export function normShrinkDispatch(
	parts: PlanParts,
	{ room, slots, columns }: LinearLora,
	norm: RmsNormOptions,
	buffers: readonly Bound[],
): Promise<Dispatch> {
	const { rank, numSlots, firstRows, storage: small } = columns;
	const numTargets = firstRows.length;
	const options = { norm, numTargets, rank, numSlots, small };
	const others = [room.owners, slots.a, room.used, room.small];
	return dispatchOf(
		parts,
		normShrink(options, parts.gpu.abilities),
		[...buffers, ...others],
		rowGrid,
	);
}
