/** The GPU buffers of this process that were created and not destroyed: counted in passing, on every device. Knows no backend. */
import { platform } from "../../src/platform/node.ts";

export interface LiveBuffers {
	readonly count: number;
	readonly bytes: number;
	/** That created a buffer last. */
	readonly device: GPUDevice | null;
}

/** Counts from now on. What is dropped without `destroy` counts as live, whether or not it was collected. */
export async function countBuffers(): Promise<LiveBuffers> {
	const gpu = await platform.gpu();
	const device = await (await gpu?.requestAdapter())?.requestDevice();
	if (!device) throw new Error("no WebGPU here");
	const devices: GPUDevice = Object.getPrototypeOf(device);
	const buffer = device.createBuffer({ size: 16, usage: 0x80 });
	const buffers: GPUBuffer = Object.getPrototypeOf(buffer);
	device.destroy();
	const { createBuffer } = devices;
	const { destroy } = buffers;
	const live = { count: 0, bytes: 0, device: null as GPUDevice | null };
	const alive = new WeakSet<GPUBuffer>();
	devices.createBuffer = function (this: GPUDevice, descriptor) {
		const made = createBuffer.call(this, descriptor);
		alive.add(made);
		live.count++;
		live.bytes += made.size;
		live.device = this;
		return made;
	};
	buffers.destroy = function (this: GPUBuffer) {
		if (alive.delete(this)) {
			live.count--;
			live.bytes -= this.size;
		}
		return destroy.call(this);
	};
	return live;
}
