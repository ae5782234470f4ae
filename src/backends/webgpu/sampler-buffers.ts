/** Buffers that grow to the largest step seen, and the ring of staging buffers results come back through. */
import { MAP_MODE, USAGE } from "./device.ts";

export interface GrowingBuffer {
	readonly buffer: GPUBuffer;
	/** Makes room; what the buffer held is lost when it grows. @returns true where it grew, so that bind groups are stale */
	reserve(bytes: number): boolean;
	destroy(): void;
}

/** A storage buffer, zero wherever it was not written. Steps already submitted keep the old one. */
export function createGrowingBuffer(
	device: GPUDevice,
	label: string,
	bytes: number,
): GrowingBuffer {
	const usage = USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC;
	const create = (size: number) => {
		const fresh = device.createBuffer({ label, size, usage });
		const encoder = device.createCommandEncoder();
		encoder.clearBuffer(fresh);
		device.queue.submit([encoder.finish()]);
		return fresh;
	};
	let buffer = create(Math.max(16, Math.ceil(bytes / 16) * 16));
	return {
		get buffer() {
			return buffer;
		},
		reserve(wanted) {
			if (wanted <= buffer.size) return false;
			buffer.destroy();
			buffer = create(Math.ceil((1.5 * wanted) / 16) * 16);
			return true;
		},
		destroy: () => buffer.destroy(),
	};
}

export interface StagingRing {
	/** A buffer of at least so many bytes that is not in use. */
	take(bytes: number): GPUBuffer;
	/** Once what was copied into it is submitted: its first `bytes`, for `use` only; then it is free again. */
	read<T>(
		staging: GPUBuffer,
		bytes: number,
		use: (data: ArrayBuffer) => T,
	): Promise<T>;
	destroy(): void;
}

export function createStagingRing(device: GPUDevice): StagingRing {
	const all = new Set<GPUBuffer>();
	let free: GPUBuffer[] = [];
	const drop = (staging: GPUBuffer) => {
		all.delete(staging);
		staging.destroy();
	};
	return {
		take(bytes) {
			const known = free.find(({ size }) => size >= bytes);
			if (known !== undefined) {
				free = free.filter((staging) => staging !== known);
				return known;
			}
			// Too small ones make way.
			for (const staging of free) drop(staging);
			free = [];
			const staging = device.createBuffer({
				label: "sampled results",
				size: Math.max(256, Math.ceil(bytes / 4) * 4),
				usage: USAGE.MAP_READ | USAGE.COPY_DST,
			});
			all.add(staging);
			return staging;
		},
		async read(staging, bytes, use) {
			try {
				await staging.mapAsync(MAP_MODE.READ, 0, bytes);
				const result = use(staging.getMappedRange(0, bytes));
				staging.unmap();
				free.push(staging);
				return result;
			} catch (cause) {
				drop(staging);
				throw cause;
			}
		},
		destroy() {
			for (const staging of all) drop(staging);
			free = [];
		},
	};
}
