/**
 * Adapters as further columns of a linear's weight: y = [W | b of each slot] · [x | what that slot's a left of x], zero where a token goes
 * through another slot or none. So one kernel does the linear and all adapters of the step, whatever its epilogue, after the columns of
 * W and with the same sums. Only slots that the step uses are walked through. What a leaves comes from lora-shrink.
 */
import type { Binding } from "../kernel.ts";
import { BLOCK, roundUp, type Storage } from "../layout.ts";
import { unpack4, vec4Type } from "../wgsl.ts";

export interface LoraColumns {
	/** R: columns of a slot for each target, a multiple of 8. */
	readonly rank: number;
	readonly numSlots: number;
	/** Where the rows of each target begin in the whole matrix, as the checkpoint has it; the first at 0. */
	readonly firstRows: readonly number[];
	/** Rows of one half of an interleaved matrix; null: it is none. */
	readonly half: number | null;
	/** Rows of b for a slot: those of the whole matrix with its padding. */
	readonly slotRows: number;
	/** Of the slice of the matrix that is bound. b is bound whole. */
	readonly firstRow: number;
	/** Of `small`; b is stored as activations are. */
	readonly storage: Storage;
}

/** C: elements of `small` for a slot, those of all targets with their padding. */
export const slotColumns = ({
	rank,
	firstRows,
}: Pick<LoraColumns, "rank" | "firstRows">): number =>
	roundUp(firstRows.length * rank, BLOCK);

/** Elements from one token's row of `small` to the next. */
export const smallStride = (
	lora: Pick<LoraColumns, "rank" | "firstRows" | "numSlots">,
): number => lora.numSlots * slotColumns(lora);

/** The binding `used`: how many slots the step uses, then which. */
export const usedBinding = (numSlots: number): Binding => [
	"used",
	"uniform",
	`array<vec4<u32>, ${Math.ceil((1 + numSlots) / 4)}>`,
];

/** Text of the i-th word of `used`. */
const usedWord = (i: string): string => `used[(${i}) / 4u][(${i}) % 4u]`;

export const NUM_USED = usedWord("0u");
export const usedSlot = (u: string): string => usedWord(`${u} + 1u`);

/**
 * What a linear kernel binds behind all else. small: `storage` [T][used slot][target][R], padded to C a slot; b: [slot][row][R], the rows as
 * they lie in the weight; used.
 */
export function loraBindings(
	lora: LoraColumns | undefined,
	types: { readonly small: string; readonly b: string },
): Binding[] {
	if (lora === undefined) return [];
	return [
		["small", "read", `array<${types.small}>`],
		["b", "read", `array<${types.b}>`],
		usedBinding(lora.numSlots),
	];
}

/** `targetOf(row)`: which target a row of the bound slice belongs to. */
export function targetFunction({
	firstRows,
	half,
	firstRow,
}: LoraColumns): string {
	const steps = firstRows
		.slice(1)
		.map((first, i) => `  if (origin >= ${first}u) { number = ${i + 1}u; }`);
	return `
fn targetOf(sliceRow: u32) -> u32 {
  let row = sliceRow + ${firstRow}u;
  let origin = ${half === null ? "row" : `row % 2u * ${half}u + row / 2u`};
  var number = 0u;
${steps.join("\n")}
  return number;
}`;
}

/** Functions of kernels that take `small` and b four at a time: `small4(i)`, `b4(slot, row, four of the target's R)`, `targetOf(row)`. */
export const fourFunctions = (lora: LoraColumns, storage: Storage): string =>
	`${targetFunction(lora)}
fn small4(i: u32) -> vec4<f32> { return ${unpack4(lora.storage, "small[i]")}; }
fn b4(slot: u32, sliceRow: u32, four: u32) -> vec4<f32> {
  let row = slot * ${lora.slotRows}u + ${lora.firstRow}u + sliceRow;
  return ${unpack4(storage, `b[row * ${lora.rank / 4}u + four]`)};
}`;

export const fourTypes = (lora: LoraColumns, storage: Storage) => ({
	small: vec4Type(lora.storage),
	b: vec4Type(storage),
});

/** The part of a label that tells them apart. */
export const loraLabel = (lora: LoraColumns): string =>
	[
		`lora${lora.rank}x${lora.numSlots}`,
		lora.firstRows.join("@") + (lora.half === null ? "" : `half${lora.half}`),
		`${lora.slotRows}+${lora.firstRow}`,
		lora.storage,
	].join("_");
