/** The WebGPU backend against the reference, over the cases every backend must pass: each storage and format of weights. */
import { createWebgpuBackend } from "../../../src/backends/webgpu/backend.ts";
import { platform } from "../../../src/platform/node.ts";
import { runBackendCases } from "../../support/backend-cases.ts";
import { WEBGPU_CASES } from "../../support/webgpu-cases.ts";

for (const { quantization, bounds } of WEBGPU_CASES) {
	const create = async () => {
		const gpu = await platform.gpu();
		if (gpu === null) throw new Error("the package webgpu is not installed");
		return createWebgpuBackend({
			gpu,
			quantization,
			dtype: "auto",
			yieldToEventLoop: () => new Promise((done) => setImmediate(done)),
		});
	};
	runBackendCases("webgpu", create, bounds);
}
