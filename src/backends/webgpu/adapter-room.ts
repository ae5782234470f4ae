/**
 * Adapters on the device: the matrices of every slot, and the step's tokens in tiles of one slot each. Slots are written in queue order:
 * steps submitted before still read what was there.
 *
 * items     vec4<u32>: slot, first place in the list, tokens, rank of the slot's adapter.
 * list      u32: the step's adapterTokens as they came.
 * small     f32 [place][rows of the op's a]: what lora-shrink leaves to lora-expand.
 * of an op  a: `storage` [slot][target · rank + r][stride(columns)]; b: `storage` [slot][r][stride(width of the output)].
 */
import { NanoVllmError } from "../../errors.ts";
import { float32ToFloat16 } from "../../weights/convert.ts";
import type { AdapterWeights, Limits, StepInput } from "../backend.ts";
import type { AdapterTarget, Op, Program } from "../program.ts";
import { type Gpu, USAGE } from "./device.ts";
import type { AdapterTile } from "./kernels/lora-shrink.ts";
import { BYTES, type Storage, stride } from "./layout.ts";
import { MAX_HALF } from "./wgsl.ts";

export type LoraOp = Extract<Op, { op: "lora" }>;

export interface OpSlots {
	readonly a: GPUBuffer;
	readonly b: GPUBuffer;
}

export interface AdapterRoom {
	readonly maxRank: number;
	readonly items: GPUBuffer;
	readonly list: GPUBuffer;
	readonly small: GPUBuffer;
	readonly bytes: number;
	/** Of the step written last. */
	readonly numItems: number;
	slotsOf(op: LoraOp): OpSlots;
	write(input: StepInput): void;
	writeSlot(slot: number, adapter: AdapterWeights): void;
}

/** Steps of at most so many tokens have tiles of one. A bound of a regime of plan.ts. */
const MOST_SINGLE_TOKENS = 16;

export const adapterTile = (numTokens: number): AdapterTile =>
	numTokens <= MOST_SINGLE_TOKENS ? 1 : 16;

/** null: the program has none. @throws out_of_memory */
export async function createAdapterRoom(
	gpu: Gpu,
	program: Program,
	limits: Limits,
	storage: Storage,
): Promise<AdapterRoom | null> {
	const { adapters } = program;
	if (adapters === undefined) return null;
	const { numSlots, maxRank } = adapters;
	const { device } = gpu;
	const T = limits.maxNumBatchedTokens;
	const ops = program.ops.filter((op) => op.op === "lora");
	let bytes = 0;
	const create = (label: string, size: number) => {
		if (size > gpu.abilities.bindingBytes) throw tooLarge(label, size, gpu);
		bytes += size;
		const usage = USAGE.STORAGE | USAGE.COPY_DST;
		return device.createBuffer({ label, size, usage });
	};
	const targets = Math.max(...ops.map((op) => op.targets.length));
	const slotBytes = (op: LoraOp) => slotElements(op, maxRank, BYTES[storage]);
	const made = await gpu.guarded("the adapters", () => ({
		items: create("adapter items", 16 * (T + numSlots)),
		list: create("adapter tokens", 4 * T),
		small: create("adapters' small rows", 4 * T * targets * maxRank),
		slots: new Map<LoraOp, OpSlots>(
			ops.map((op) => [
				op,
				{
					a: create(`${op.targets[0].name} a`, numSlots * slotBytes(op).a),
					b: create(`${op.targets[0].name} b`, numSlots * slotBytes(op).b),
				},
			]),
		),
	}));
	const { items, list, small, slots } = made;
	const ranks = new Int32Array(numSlots);
	const itemWords = new Uint32Array(4 * (T + numSlots));
	let numItems = 0;
	const slotsOf = (op: LoraOp): OpSlots => {
		const found = slots.get(op);
		if (found === undefined) throw new Error("nano-vllm bug: an unknown op");
		return found;
	};
	return {
		maxRank,
		items,
		list,
		small,
		bytes,
		get numItems() {
			return numItems;
		},
		slotsOf,
		write(input) {
			numItems = tileTokens(itemWords, input, ranks);
			if (numItems === 0) return;
			const { adapterTokens, adapterStart } = input;
			const { queue } = device;
			queue.writeBuffer(items, 0, itemWords, 0, 4 * numItems);
			const tokens = adapterTokens as GPUAllowSharedBufferSource;
			queue.writeBuffer(list, 0, tokens, 0, adapterStart[numSlots]);
		},
		writeSlot(slot, adapter) {
			ranks[slot] = adapter.rank;
			for (const op of ops) {
				const { a, b } = slotsOf(op);
				const matrices = packed(op, adapter, maxRank, storage);
				device.queue.writeBuffer(a, slot * slotBytes(op).a, matrices.a);
				device.queue.writeBuffer(b, slot * slotBytes(op).b, matrices.b);
			}
		},
	};
}

/** Tiles of each slot's tokens, as many as the number of the step's tokens suggests. @returns how many */
function tileTokens(
	words: Uint32Array,
	{ numTokens, adapterStart }: StepInput,
	ranks: Int32Array,
): number {
	const tile = adapterTile(numTokens);
	let numItems = 0;
	for (let slot = 0; slot < ranks.length; slot++) {
		const end = adapterStart[slot + 1];
		for (let i = adapterStart[slot]; i < end; i += tile) {
			const at = 4 * numItems++;
			words[at] = slot;
			words[at + 1] = i;
			words[at + 2] = Math.min(tile, end - i);
			words[at + 3] = ranks[slot];
		}
	}
	return numItems;
}

/** One slot's share of the matrices, in elements of `bytes`. */
function slotElements(
	{ targets, input, output }: LoraOp,
	maxRank: number,
	bytes = 1,
) {
	return {
		a: targets.length * maxRank * stride(input.width) * bytes,
		b: maxRank * stride(output.width) * bytes,
	};
}

/** What the adapter leaves alone is zero. */
function packed(
	op: LoraOp,
	adapter: AdapterWeights,
	maxRank: number,
	storage: Storage,
): { a: ArrayBuffer; b: ArrayBuffer } {
	const elements = slotElements(op, maxRank);
	const a = new Float32Array(elements.a);
	const b = new Float32Array(elements.b);
	for (const [i, target] of op.targets.entries())
		packTarget(op, i, target, adapter, maxRank, a, b);
	return { a: stored(a, storage), b: stored(b, storage) };
}

function packTarget(
	{ input, output }: LoraOp,
	index: number,
	{ name, rows, columns, firstRow }: AdapterTarget,
	adapter: AdapterWeights,
	maxRank: number,
	a: Float32Array,
	b: Float32Array,
): void {
	const matrices = adapter.targets.get(name);
	if (matrices === undefined) return;
	const aStride = stride(input.width);
	const bStride = stride(output.width);
	const { rank } = matrices;
	for (let r = 0; r < rank; r++) {
		const row = matrices.a.subarray(r * columns, (r + 1) * columns);
		a.set(row, (index * maxRank + r) * aStride);
		for (let o = 0; o < rows; o++)
			b[r * bStride + firstRow + o] = matrices.b[o * rank + r];
	}
}

/** Numbers no half can hold become the largest that it can: no trained adapter has any. */
function stored(values: Float32Array<ArrayBuffer>, storage: Storage) {
	if (storage === "f32") return values.buffer;
	for (let i = 0; i < values.length; i++)
		values[i] = Math.max(-MAX_HALF, Math.min(values[i], MAX_HALF));
	const halves = new Uint16Array(values.length);
	float32ToFloat16(values, halves);
	return halves.buffer;
}

function tooLarge(label: string, size: number, { abilities }: Gpu) {
	return new NanoVllmError(
		"out_of_memory",
		`${label} takes ${size} bytes for all slots, this GPU binds at most ${abilities.bindingBytes}. Lower maxLoras or maxLoraRank.`,
	);
}
