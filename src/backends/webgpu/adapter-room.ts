/**
 * Adapters on the device: the matrices of every slot, and what says which of the step's tokens go through which. Slots are written in queue
 * order: steps submitted before still read what was there.
 *
 * used, items, list, owners  see adapter-items.ts.
 * small     what lora-shrink leaves to the linear behind it: see lora-columns.ts.
 * of an op  a: `storage` [slot][target · R + r][stride(K)]; b: `storage` [slot][row][R], the rows as they lie in the weight's buffer.
 */
import { NanoVllmError } from "../../errors.ts";
import { float32ToFloat16 } from "../../weights/convert.ts";
import type { AdapterWeights, Limits, StepInput } from "../backend.ts";
import type { AdapterTarget, Op } from "../program.ts";
import type { AdaptedOp, FusedProgram } from "./adapter-fusion.ts";
import { createAdapterItems } from "./adapter-items.ts";
import { type Gpu, USAGE } from "./device.ts";
import { smallStride } from "./kernels/lora-columns.ts";
import { BYTES, paddedRows, roundUp, type Storage, stride } from "./layout.ts";
import { placeOfRow, type RowLayout, rowLayouts } from "./row-layout.ts";

/** The slots of one linear. */
export interface OpSlots {
	readonly a: GPUBuffer;
	readonly b: GPUBuffer;
	/** K */
	readonly width: number;
	/** See LoraColumns. */
	readonly firstRows: readonly number[];
	readonly half: number | null;
	readonly slotRows: number;
}

export interface AdapterRoom {
	/** R: the rank there is room for, a multiple of 8. */
	readonly rank: number;
	readonly numSlots: number;
	readonly used: GPUBuffer;
	readonly items: GPUBuffer;
	readonly list: GPUBuffer;
	readonly owners: GPUBuffer;
	readonly small: GPUBuffer;
	readonly bytes: number;
	/** Of the step written last; 0: it uses no adapter. */
	readonly numItems: number;
	/** undefined: adapters leave the op alone. */
	slotsOf(op: Op): OpSlots | undefined;
	write(input: StepInput): void;
	writeSlot(slot: number, adapter: AdapterWeights): void;
}

/** How an op's matrices lie in a slot. */
interface SlotShape extends Omit<OpSlots, "a" | "b"> {
	readonly targets: readonly AdapterTarget[];
	readonly layout: RowLayout;
	/** Of one slot. */
	readonly aElements: number;
	readonly bElements: number;
}

/** null: the program has none. @throws out_of_memory */
export async function createAdapterRoom(
	gpu: Gpu,
	fused: FusedProgram,
	limits: Limits,
	storage: Storage,
): Promise<AdapterRoom | null> {
	const { adapters } = fused.program;
	if (adapters === undefined) return null;
	const { numSlots } = adapters;
	const rank = roundUp(adapters.maxRank, 8);
	const { device } = gpu;
	const { queue } = device;
	const T = limits.maxNumBatchedTokens;
	const shapes = slotShapes(fused, rank);
	const size = BYTES[storage];
	let bytes = 0;
	const create = (label: string, size: number, usage: number) => {
		if (size > gpu.abilities.bindingBytes) throw tooLarge(label, size, gpu);
		bytes += size;
		return device.createBuffer({ label, size, usage: usage | USAGE.COPY_DST });
	};
	const slotsFor = (shape: SlotShape): OpSlots => {
		const { targets, aElements, bElements } = shape;
		const buffer = (which: string, elements: number) => {
			const label = `${targets[0].name} ${which}`;
			return create(label, numSlots * elements * size, USAGE.STORAGE);
		};
		return { ...shape, a: buffer("a", aElements), b: buffer("b", bElements) };
	};
	const step = createAdapterItems(numSlots, T);
	const pitches = Array.from(shapes.values(), ({ firstRows }) =>
		smallStride({ rank, numSlots, firstRows }),
	);
	const smallBytes = paddedRows(T) * Math.max(...pitches) * size;
	const made = await gpu.guarded("the adapters", () => ({
		used: create("adapters in use", step.used.byteLength, USAGE.UNIFORM),
		items: create("adapter items", step.items.byteLength, USAGE.STORAGE),
		list: create("adapter tokens", step.list.byteLength, USAGE.STORAGE),
		owners: create("adapters of tokens", 8 * T, USAGE.STORAGE),
		small: create("adapters' small rows", smallBytes, USAGE.STORAGE),
		slots: new Map(
			Array.from(shapes, ([op, shape]) => [op as Op, slotsFor(shape)]),
		),
	}));
	const { slots, ...buffers } = made;
	const ranks = new Int32Array(numSlots);
	return {
		rank,
		numSlots,
		...buffers,
		bytes,
		get numItems() {
			return step.numItems;
		},
		slotsOf: (op) => slots.get(op),
		write(input) {
			step.write(input, ranks);
			if (step.numItems === 0) return;
			const { numTokens } = input;
			const { used, items, list, owners } = buffers;
			queue.writeBuffer(used, 0, step.used);
			queue.writeBuffer(items, 0, step.items, 0, 4 * step.numItems);
			queue.writeBuffer(list, 0, step.list, 0, numTokens);
			queue.writeBuffer(owners, 0, step.owners, 0, 2 * numTokens);
		},
		writeSlot(slot, adapter) {
			ranks[slot] = adapter.rank;
			for (const [op, shape] of shapes) {
				const { a, b } = slots.get(op) as OpSlots;
				const matrices = packed(shape, adapter, rank, storage);
				queue.writeBuffer(a, slot * shape.aElements * size, matrices.a);
				queue.writeBuffer(b, slot * shape.bElements * size, matrices.b);
			}
		},
	};
}

function slotShapes(
	{ program, loras }: FusedProgram,
	rank: number,
): Map<AdaptedOp, SlotShape> {
	const layouts = rowLayouts(program);
	return new Map(
		Array.from(loras, ([op, { targets }]) => {
			const [rows, width] = op.weight.shape;
			const layout = layouts.get(op.weight.name) as RowLayout;
			const slotRows = paddedRows(rows);
			const shape: SlotShape = {
				targets,
				layout,
				width,
				firstRows: targets.map(({ firstRow }) => firstRow),
				half: layout.interleaved ? rows / 2 : null,
				slotRows,
				aElements: targets.length * rank * stride(width),
				bElements: slotRows * rank,
			};
			return [op, shape];
		}),
	);
}

/** What the adapter leaves alone is zero. */
function packed(
	shape: SlotShape,
	adapter: AdapterWeights,
	rank: number,
	storage: Storage,
): { a: ArrayBuffer; b: ArrayBuffer } {
	const a = new Float32Array(shape.aElements);
	const b = new Float32Array(shape.bElements);
	for (const [i, target] of shape.targets.entries())
		packTarget(shape, i, target, adapter, rank, a, b);
	return { a: stored(a, storage), b: stored(b, storage) };
}

function packTarget(
	{ width, layout }: SlotShape,
	index: number,
	{ name, rows, columns, firstRow }: AdapterTarget,
	adapter: AdapterWeights,
	room: number,
	a: Float32Array,
	b: Float32Array,
): void {
	const matrices = adapter.targets.get(name);
	if (matrices === undefined) return;
	const { rank } = matrices;
	for (let r = 0; r < rank; r++) {
		const row = matrices.a.subarray(r * columns, (r + 1) * columns);
		a.set(row, (index * room + r) * stride(width));
	}
	for (let o = 0; o < rows; o++) {
		const row = matrices.b.subarray(o * rank, (o + 1) * rank);
		b.set(row, placeOfRow(layout, firstRow + o) * room);
	}
}

/** All numbers fit into halves: weights/lora.ts refuses others. */
function stored(values: Float32Array<ArrayBuffer>, storage: Storage) {
	if (storage === "f32") return values.buffer;
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
