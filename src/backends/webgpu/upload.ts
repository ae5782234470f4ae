/**
 * Bytes from host to GPU through a few mapped staging buffers, each filled while the ones before it are copied: one copy of a
 * chunk in host memory, and never more in flight than the ring holds.
 */
import { type Gpu, MAP_MODE, USAGE } from "./device.ts";

const RING = 3;

export interface Uploader {
	/**
	 * Copies `header` and `bytes` behind it into a buffer of the ring and calls `use` with an encoder and that buffer.
	 * Resolves when the host's bytes may be reused; the GPU may still be at work on them.
	 */
	send(
		header: Uint32Array,
		bytes: Uint8Array,
		use: (encoder: GPUCommandEncoder, raw: GPUBuffer) => void,
	): Promise<void>;
	/** Waits for the GPU and frees the ring. */
	close(): Promise<void>;
}

/** maxBytes: of header and bytes together */
export function createUploader({ device }: Gpu, maxBytes: number): Uploader {
	const size = Math.ceil(maxBytes / 4) * 4;
	const slots = Array.from({ length: RING }, (_, i) => {
		const staging = device.createBuffer({
			label: `staging ${i}`,
			size,
			usage: USAGE.MAP_WRITE | USAGE.COPY_SRC,
		});
		const raw = device.createBuffer({
			label: `raw weights ${i}`,
			size,
			usage: USAGE.STORAGE | USAGE.COPY_DST,
		});
		return { staging, raw, mapped: mapForWriting(staging) };
	});
	let next = 0;
	return {
		async send(header, bytes, use) {
			const slot = slots[next++ % RING];
			await slot.mapped;
			const used = Math.ceil((header.byteLength + bytes.byteLength) / 4) * 4;
			const range = slot.staging.getMappedRange(0, used);
			new Uint32Array(range, 0, header.length).set(header);
			new Uint8Array(range, header.byteLength, bytes.byteLength).set(bytes);
			slot.staging.unmap();
			const encoder = device.createCommandEncoder();
			encoder.copyBufferToBuffer(slot.staging, 0, slot.raw, 0, used);
			use(encoder, slot.raw);
			device.queue.submit([encoder.finish()]);
			slot.mapped = mapForWriting(slot.staging);
		},
		async close() {
			await device.queue.onSubmittedWorkDone();
			for (const { staging, raw, mapped } of slots) {
				await mapped.catch(() => {});
				staging.destroy();
				raw.destroy();
			}
		},
	};
}

function mapForWriting(staging: GPUBuffer): Promise<undefined> {
	const mapped = staging.mapAsync(MAP_MODE.WRITE);
	mapped.catch(() => {}); // heard where it is awaited
	return mapped;
}
