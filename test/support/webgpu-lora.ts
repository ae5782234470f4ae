/** Random columns of adapters for a linear kernel, and what they add to each sum. Whatever a kernel must not read is NaN. */
import { type Gpu, USAGE } from "../../src/backends/webgpu/device.ts";
import type { LinearShape } from "../../src/backends/webgpu/kernels/linear.ts";
import {
	type LoraColumns,
	slotColumns,
	smallStride,
} from "../../src/backends/webgpu/kernels/lora-columns.ts";
import { paddedRows, type Storage } from "../../src/backends/webgpu/layout.ts";
import type { RandomSource } from "./random.ts";
import { bufferOf } from "./webgpu.ts";

export interface TestLora {
	/** Behind all others. */
	readonly buffers: GPUBuffer[];
	/** What is added to y[t][n], and Σ |products|. */
	add(t: number, n: number): readonly [sum: number, size: number];
}

/** Columns for a matrix bound whole, with 3 slots. */
export function loraFor(
	{ rows, epilogue }: Pick<LinearShape, "rows" | "epilogue">,
	options: Pick<LoraColumns, "rank" | "firstRows" | "storage">,
): LoraColumns {
	return {
		...options,
		numSlots: 3,
		half: epilogue === "gated" ? rows / 2 : null,
		slotRows: paddedRows(rows),
		firstRow: 0,
	};
}

/** The slots the step uses, in this order; slot 1 is not in use. */
const USED = [2, 0];

export function usedBuffer({ device }: Gpu, numSlots: number): GPUBuffer {
	const words = new Uint32Array(4 * Math.ceil((numSlots + 1) / 4));
	words.set([USED.length, ...USED]);
	const usage = USAGE.UNIFORM | USAGE.COPY_DST;
	const buffer = device.createBuffer({ size: words.byteLength, usage });
	device.queue.writeBuffer(buffer, 0, words);
	return buffer;
}

const floats = (storage: Storage, length: number, fill: number) =>
	(storage === "f16"
		? new Float16Array(length)
		: new Float32Array(length)
	).fill(fill);

const upload = (gpu: Gpu, data: ReturnType<typeof floats>) =>
	bufferOf(
		gpu,
		data instanceof Float32Array ? data : new Uint16Array(data.buffer),
	);

/** Token t goes through the slot at place t mod 3 of those in use; every third through none. */
export function testLora(
	gpu: Gpu,
	random: RandomSource,
	lora: LoraColumns,
	{ rows, storage }: LinearShape,
	numTokens: number,
): TestLora {
	const { rank, firstRows, half, numSlots, slotRows } = lora;
	const pitch = smallStride(lora);
	const columns = slotColumns(lora);
	const small = floats(lora.storage, paddedRows(numTokens) * pitch, NaN);
	for (let t = 0; t < numTokens; t++) {
		small.fill(0, t * pitch, t * pitch + USED.length * columns);
		const own = t % 3;
		if (own < USED.length)
			small.set(
				random.vector(firstRows.length * rank, 5),
				t * pitch + own * columns,
			);
	}
	const b = floats(storage, numSlots * slotRows * rank, NaN);
	for (const slot of USED) {
		b.fill(0, slot * slotRows * rank, (slot + 1) * slotRows * rank);
		b.set(random.vector(rows * rank), slot * slotRows * rank);
	}
	return {
		buffers: [
			upload(gpu, small),
			upload(gpu, b),
			usedBuffer(gpu, lora.numSlots),
		],
		add(t, n) {
			const own = t % 3;
			if (own >= USED.length) return [0, 0];
			const row = half === null ? n : (n % 2) * half + Math.floor(n / 2);
			const target = firstRows.findLastIndex((first) => row >= first);
			const from = t * pitch + own * columns + target * rank;
			let sum = 0;
			let size = 0;
			for (let r = 0; r < rank; r++) {
				const product =
					small[from + r] * b[(USED[own] * slotRows + n) * rank + r];
				sum += product;
				size += Math.abs(product);
			}
			return [sum, size];
		},
	};
}
