/** A WebGPU device for tests, and one kernel run alone on it. Run through `npm run test:unit -- FILE`: see scripts/test.ts. */

import {
	type Gpu,
	MAP_MODE,
	openGpu,
	USAGE,
} from "../../src/backends/webgpu/device.ts";
import {
	bindGroupOf,
	createKernelCompiler,
	type Kernel,
} from "../../src/backends/webgpu/kernel.ts";
import { loadPlatform } from "../../src/platform/detect.ts";

/** @throws where there is no adapter: on a machine that CI runs on there must be one */
export async function openTestGpu(): Promise<Gpu> {
	const gpu = await (await loadPlatform()).gpu();
	if (gpu === null) throw new Error("the package webgpu is not installed");
	return openGpu(gpu);
}

export type TestArray =
	| Float32Array
	| Uint32Array
	| Int32Array
	| Uint16Array
	| Uint8Array;

export function bufferOf(gpu: Gpu, data: TestArray | number): GPUBuffer {
	const bytes = typeof data === "number" ? data : data.byteLength;
	const buffer = gpu.device.createBuffer({
		size: Math.max(16, Math.ceil(bytes / 16) * 16),
		usage: USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC,
	});
	if (typeof data === "number") return buffer;
	const whole = new Uint8Array(Math.ceil(bytes / 4) * 4);
	whole.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
	gpu.device.queue.writeBuffer(buffer, 0, whole);
	return buffer;
}

/** All bytes of a buffer. */
export async function readBack(
	gpu: Gpu,
	buffer: GPUBuffer,
): Promise<ArrayBuffer> {
	const { device } = gpu;
	const { size } = buffer;
	const staging = device.createBuffer({
		size,
		usage: USAGE.MAP_READ | USAGE.COPY_DST,
	});
	const encoder = device.createCommandEncoder();
	encoder.copyBufferToBuffer(buffer, 0, staging, 0, size);
	device.queue.submit([encoder.finish()]);
	await staging.mapAsync(MAP_MODE.READ);
	const bytes = staging.getMappedRange().slice(0);
	staging.destroy();
	gpu.check();
	return bytes;
}

/** One dispatch of a kernel over the given buffers, in binding order. */
export async function runKernel(
	gpu: Gpu,
	kernel: Kernel,
	buffers: readonly (GPUBuffer | GPUBufferBinding)[],
	grid: readonly [number, number?, number?],
): Promise<void> {
	const { device } = gpu;
	const compiled = await createKernelCompiler(gpu)(kernel);
	const encoder = device.createCommandEncoder();
	const pass = encoder.beginComputePass();
	pass.setPipeline(compiled.pipeline);
	pass.setBindGroup(0, bindGroupOf(device, compiled, buffers));
	pass.dispatchWorkgroups(...grid);
	pass.end();
	device.queue.submit([encoder.finish()]);
	await device.queue.onSubmittedWorkDone();
	gpu.check();
}
