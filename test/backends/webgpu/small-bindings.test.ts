/** A device that binds little: matrices, vocabulary and experts lie in slices, and tokens go through experts in chunks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createWebgpuBackend } from "../../../src/backends/webgpu/backend.ts";
import { platform } from "../../../src/platform/node.ts";
import { MODELS, runCase } from "../../support/backend-case.ts";
import { checkpoint } from "../../support/case-checkpoint.ts";
import { FEATURES } from "../../support/feature-cases.ts";
import { type Block, featureProgram } from "../../support/feature-program.ts";

const BOUNDS = {
	weights: "f32",
	cache: "f16",
	atol: 0.02,
	rtol: 0.002,
} as const;

/** The machine's adapter, saying that it binds no more than so many bytes, or buffers. */
async function lesserGpu(
	lesser: Readonly<Record<string, number>>,
): Promise<GPU> {
	const gpu = await platform.gpu();
	if (gpu === null) throw new Error("the package webgpu is not installed");
	const requestAdapter = async (options?: GPURequestAdapterOptions) => {
		const adapter = await gpu.requestAdapter(options);
		if (adapter === null) return null;
		return {
			features: adapter.features,
			limits: adapter.limits,
			info: adapter.info,
			async requestDevice(wanted?: GPUDeviceDescriptor) {
				const device = await adapter.requestDevice(wanted);
				const value = new Proxy(device.limits, {
					get: (all, name) => lesser[String(name)] ?? Reflect.get(all, name),
				});
				return Object.defineProperty(device, "limits", { value });
			},
		};
	};
	return { requestAdapter, keptAlive: gpu } as unknown as GPU;
}

const backendOn = (gpu: GPU) =>
	createWebgpuBackend({
		gpu,
		quantization: null,
		dtype: "auto",
		yieldToEventLoop: () => new Promise((done) => setImmediate(done)),
	});

const indexOf = (start: string) =>
	MODELS.length + FEATURES.findIndex(({ name }) => name.startsWith(start));

test("experts in slices of two, and tokens in chunks", async (t) => {
	const gpu = await lesserGpu({ maxStorageBufferBindingSize: 80 * 1024 });
	const index = indexOf("3 of 8 experts");
	const worst = await runCase(backendOn(gpu), index, BOUNDS, { ahead: false });
	t.diagnostic(`largest difference of a logprob: ${worst.toExponential(1)}`);
});

/** Compiles a program of these blocks. */
async function compile(gpu: GPU, blocks: readonly Block[]): Promise<void> {
	const name = "one of each";
	const sizes = { hidden: 1, vocab: 3, blockSize: 16 };
	const program = featureProgram({ name, ...sizes, blocks });
	const limits = {
		blockSize: 16,
		maxModelLen: 32,
		maxNumSeqs: 1,
		maxNumBatchedTokens: 1,
		kvCacheBytes: 2 ** 20,
		memoryUtilization: 1,
	};
	const source = checkpoint(program, "f32", 1);
	const options = { limits, kvCacheDtype: "auto" } as const;
	const executable = await backendOn(gpu).compile(program, source, options);
	await executable.close();
}

test("an expert larger than a binding is refused with its size", async () => {
	const gpu = await lesserGpu({ maxStorageBufferBindingSize: 48 * 1024 });
	const compiling = compile(gpu, [
		{
			kind: "experts",
			intermediate: 200,
			numExperts: 2,
			topK: 1,
			storage: "parts",
		},
		{ kind: "attention", heads: [1, 1, 2] },
	]);
	await assert.rejects(compiling, {
		code: "out_of_memory",
		message:
			/one expert's 512 rows of 1 columns take 65536 bytes, this GPU binds at most 49152/,
	});
});

test("a kernel of more buffers than the device binds is refused by name", async () => {
	const gpu = await lesserGpu({ maxStorageBuffersPerShaderStage: 8 });
	const compiling = compile(gpu, [
		{ kind: "attention", heads: [1, 1, 2], sinks: true, window: 4 },
	]);
	await assert.rejects(compiling, {
		code: "device_unavailable",
		message: /attention_decode.* wants 9 storage buffers/,
	});
});
