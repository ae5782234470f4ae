/** The device room on whatever adapter the tests run on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NanoVllmError } from "../../../src/errors.ts";
import {
	bufferOf,
	openTestGpu,
	readBack,
	runKernel,
} from "../../support/webgpu.ts";

const double = {
	label: "double",
	bindings: [["x", "write", "array<f32>"]],
	code: `@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  x[id.x] = x[id.x] * 2;
}`,
} as const;

test("a kernel runs and its buffer is read back", async (t) => {
	const gpu = await openTestGpu();
	t.diagnostic(`${gpu.description} ${JSON.stringify(gpu.abilities)}`);
	const x = bufferOf(
		gpu,
		Float32Array.from({ length: 64 }, (_, i) => i),
	);
	await runKernel(gpu, double, [x], [2]);
	const got = new Float32Array(await readBack(gpu, x));
	assert.deepEqual(
		[...got],
		Array.from({ length: 64 }, (_, i) => 2 * i),
	);
	gpu.close();
});

test("a kernel that is not WGSL is refused with its message", async () => {
	const gpu = await openTestGpu();
	const broken = { ...double, label: "broken", code: "fn main( {" };
	await assert.rejects(runKernel(gpu, broken, [bufferOf(gpu, 64)], [1]));
	gpu.close();
});

test("a buffer beyond the device's memory is out_of_memory, and the device says so from then on", async () => {
	const gpu = await openTestGpu();
	const allocate = () =>
		gpu.device.createBuffer({ size: 2 ** 50, usage: 0x80 });
	const refused = (error: NanoVllmError) =>
		error.code === "out_of_memory" || error.code === "backend_failed";
	await assert.rejects(gpu.guarded("a test", allocate), refused);
	assert.throws(() => gpu.check(), refused);
	gpu.close();
});

test("a destroyed device is device_lost", async () => {
	const gpu = await openTestGpu();
	gpu.device.destroy();
	assert.equal((await gpu.failed).code, "device_lost");
	assert.throws(() => gpu.check(), { code: "device_lost" });
});
