/** The WebGPU backend against the reference, over what families other than Qwen3 ask of the ops. */
import { createWebgpuBackend } from "../../../src/backends/webgpu/backend.ts";
import { platform } from "../../../src/platform/node.ts";
import { runFeatureCases } from "../../support/backend-cases.ts";
import { WEBGPU_CASES } from "../../support/webgpu-cases.ts";

for (const { quantization, features } of WEBGPU_CASES) {
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
	runFeatureCases("webgpu", create, features);
}
