/** Gives a case's memory ordinary values, quickly: a little noise, and copies of it. */
import { depthOf, FORMATS, isQuantized, PANEL_COLUMNS } from "../format.ts";
import type { Kernels } from "../kernels.ts";
import type { Layout } from "../layout.ts";
import type { PackedMatrix } from "../places.ts";
import type { KernelCase } from "./cases.ts";

/** Every matrix, vector, activation and cached key with ordinary values. */
export function fillCase(
	one: KernelCase,
	{ plan, matrices, vectors, staging, kvCacheBytes }: Layout,
	kernels: Kernels,
	memory: WebAssembly.Memory,
): void {
	for (const packed of matrices) fillMatrix(packed, staging, kernels, memory);
	for (const { weight, address } of vectors.values())
		new Float32Array(memory.buffer, address, weight.shape[0]).fill(1);
	const values = (address: number, count: number) => {
		const array = new Float32Array(memory.buffer, address, count);
		for (let i = 0; i < count; i++) array[i] = noise(i);
	};
	for (const task of plan.tasks) {
		if (task.kind === "linear") values(task.input, task.width * one.numTokens);
		else if (task.kind === "sample")
			values(task.linear.input, task.linear.width * one.numTokens);
		else if (task.kind === "attention")
			values(task.qkv, task.width * one.numTokens);
	}
	const caches = plan.tasks.filter((task) => task.kind === "attention");
	const cacheBytes = kvCacheBytes / Math.max(1, caches.length);
	for (const { cache } of caches)
		spread(new Uint16Array(memory.buffer, cache, cacheBytes / 2), halfBits);
}

/** The first panels are packed from noise, the others are copies. */
function fillMatrix(
	{ format, weight, address, depth, panelBytes }: PackedMatrix,
	staging: number,
	kernels: Kernels,
	memory: WebAssembly.Memory,
): void {
	const [rows, columns] = weight.shape;
	const numPanels = Math.ceil(rows / PANEL_COLUMNS);
	const is16 = format === "f16" || format === "bf16";
	const first = Math.min(8, numPanels);
	const width = isQuantized(format)
		? depthOf(format, columns) * FORMATS[format].blockColumns
		: columns;
	const count = first * PANEL_COLUMNS * width;
	if (is16) {
		const bitsOf = format === "f16" ? halfBits : bfloatBits;
		spread(new Uint16Array(memory.buffer, staging, count), bitsOf);
	} else {
		const array = new Float32Array(memory.buffer, staging, count);
		for (let i = 0; i < count; i++) array[i] = noise(i);
	}
	const { id } = FORMATS[format];
	const rowBytes = width * (is16 ? 2 : 4);
	const numRows = first * PANEL_COLUMNS;
	kernels.pack_rows(
		id,
		staging,
		rowBytes,
		numRows,
		0,
		depth,
		address,
		panelBytes,
		1,
	);
	const all = new Uint8Array(memory.buffer, address, numPanels * panelBytes);
	for (let done = first * panelBytes; done < all.length; done *= 2)
		all.copyWithin(done, 0, Math.min(done, all.length - done));
}

/** −1..1, the same for the same index. */
function noise(i: number): number {
	let h = Math.imul(i + 1, 0x9e3779b1);
	h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
	return ((h ^ (h >>> 13)) >> 8) / 2 ** 23;
}

/** A sign, an exponent a little below 1's, and any fraction. */
const halfBits = (i: number) => bitsOf(i, 0x2800, 0x0fff);
const bfloatBits = (i: number) => bitsOf(i, 0x3d80, 0x01ff);

function bitsOf(i: number, base: number, mask: number): number {
	const h = (noise(i) * 2 ** 23) | 0;
	return (h & 0x8000) | (base + (h & mask));
}

function spread(target: Uint16Array, bitsAt: (i: number) => number): void {
	const made = Math.min(target.length, 2 ** 16);
	for (let i = 0; i < made; i++) target[i] = bitsAt(i);
	for (let done = made; done < target.length; done *= 2)
		target.copyWithin(done, 0, Math.min(done, target.length - done));
}
