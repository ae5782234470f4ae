/** Where kernels are timed: a device, its compiled kernels, and buffers of ordinary values that go when a case is done. */
import { type Gpu, USAGE } from "../device.ts";
import type { KernelCompiler } from "../kernel.ts";

export interface Room {
	readonly gpu: Gpu;
	readonly compile: KernelCompiler;
	/** Halves of either sign, 2^-5 .. 2^-1: as f32 small normal numbers, as quants any. */
	noise(bytes: number): GPUBuffer;
	zeros(bytes: number): GPUBuffer;
	upload(data: Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>): GPUBuffer;
	/** What else goes with the buffers. */
	onClear(free: () => void): void;
	/** Lets go of everything since the last time. */
	clear(): void;
}

/** Written once; buffers are filled with copies of it. */
const PATTERN_BYTES = 4 * 2 ** 20;

export function createRoom(gpu: Gpu, compile: KernelCompiler): Room {
	const { device } = gpu;
	const usage = USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC;
	const create = (bytes: number) =>
		device.createBuffer({
			label: "bench",
			size: Math.max(16, Math.ceil(bytes / 16) * 16),
			usage,
		});
	const pattern = create(PATTERN_BYTES);
	device.queue.writeBuffer(pattern, 0, noisyHalves(PATTERN_BYTES / 2));
	const onClear: (() => void)[] = [];
	const zeros = (bytes: number) => {
		const buffer = create(bytes);
		onClear.push(() => buffer.destroy());
		return buffer;
	};
	return {
		gpu,
		compile,
		zeros,
		noise(bytes) {
			const buffer = zeros(bytes);
			const encoder = device.createCommandEncoder();
			for (let at = 0; at < buffer.size; at += PATTERN_BYTES) {
				const count = Math.min(PATTERN_BYTES, buffer.size - at);
				encoder.copyBufferToBuffer(pattern, 0, buffer, at, count);
			}
			device.queue.submit([encoder.finish()]);
			return buffer;
		},
		upload(data) {
			const buffer = zeros(data.byteLength);
			device.queue.writeBuffer(buffer, 0, data);
			return buffer;
		},
		onClear: (free) => onClear.push(free),
		clear() {
			for (const free of onClear.splice(0)) free();
		},
	};
}

function noisyHalves(count: number): Uint16Array<ArrayBuffer> {
	const halves = new Uint16Array(count);
	let state = 12_345;
	for (let i = 0; i < count; i++) {
		state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
		const exponent = 10 + ((state >>> 20) & 3);
		halves[i] =
			((state >>> 31) << 15) | (exponent << 10) | ((state >>> 5) & 1023);
	}
	return halves;
}
