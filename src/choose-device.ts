/**
 * Which device a model runs on, and why, in words for people. `auto` takes the GPU where there is one that can do what the options ask
 * for, else the CPU. Knows every backend, and no model.
 */
import type { Backend } from "./backends/backend.ts";
import type { KernelBench } from "./backends/kernel-bench.ts";
import type { EngineConfig } from "./config.ts";
import { NanoVllmError } from "./errors.ts";
import type { Platform } from "./platform/platform.ts";

export interface ChosenDevice {
	readonly backend: Backend;
	/** For people. */
	readonly reason: string;
}

export async function chooseDevice(
	config: EngineConfig,
	platform: Platform,
): Promise<ChosenDevice> {
	const asked = `device "${config.device}" was asked for`;
	switch (config.device) {
		case "auto": {
			const gpu = await findGpu(config, platform);
			if ("why" in gpu) return openCpu(config, platform, gpu.why);
			const backend = await openWebgpu(config, platform);
			return { backend, reason: `WebGPU: ${gpu.name}` };
		}
		case "cpu":
			return openCpu(config, platform, asked);
		case "reference": {
			checkReferenceOptions(config);
			const module = await import("./backends/reference/backend.ts");
			return { backend: module.referenceBackend, reason: asked };
		}
		case "webgpu":
			return { backend: await openWebgpu(config, platform), reason: asked };
		default:
			return config.device satisfies never;
	}
}

/** `why`: why it is the CPU. */
export async function openCpu(
	config: EngineConfig,
	platform: Platform,
	why: string,
): Promise<ChosenDevice> {
	const module = await import("./backends/cpu/backend.ts");
	const { threads, quantization, dtype } = config;
	const revectorize = config.wasmRevectorize;
	const options = { platform, threads, quantization, dtype, revectorize };
	return {
		backend: module.createCpuBackend(options),
		reason: `${why}; ${module.describeThreads(options)}`,
	};
}

/** @throws device_unavailable */
async function openWebgpu(
	config: EngineConfig,
	platform: Platform,
): Promise<Backend> {
	const module = await import("./backends/webgpu/backend.ts");
	const gpu = await requireGpu(platform);
	const { quantization, dtype } = config;
	const polls = platform.name === "node";
	const yieldToEventLoop = polls ? platform.yieldToEventLoop : null;
	return module.createWebgpuBackend({
		gpu,
		quantization,
		dtype,
		yieldToEventLoop,
	});
}

/** The GPU's name where there is one that can do what the options ask for, else why not. */
async function findGpu(
	{ kvCacheDtype }: EngineConfig,
	platform: Platform,
): Promise<{ readonly name: string } | { readonly why: string }> {
	if (kvCacheDtype === "f32" || kvCacheDtype === "bf16")
		return { why: `kvCacheDtype "${kvCacheDtype}" is not WebGPU's` };
	const gpu = await platform.gpu();
	if (gpu === null) return { why: `no WebGPU: ${gpuAbsence(platform)}` };
	const adapter = await gpu.requestAdapter();
	if (!adapter) return { why: "no WebGPU: no GPU here can be used for it" };
	const { info } = adapter;
	const name = info.description || `${info.vendor} ${info.architecture}`.trim();
	return info.isFallbackAdapter
		? { why: `no WebGPU: ${name} is software, slower than the cpu device` }
		: { name };
}

/** Nobody asked for a GPU, and the one there is gives no device after all. */
export function isRefusal(
	error: unknown,
	{ device }: EngineConfig,
	{ backend }: ChosenDevice,
): error is NanoVllmError {
	return (
		device === "auto" &&
		backend.name === "webgpu" &&
		error instanceof NanoVllmError &&
		error.code === "device_unavailable"
	);
}

const gpuAbsence = ({ name }: Platform): string =>
	name === "node"
		? "the npm package webgpu or, on Linux, the Vulkan loader libvulkan.so.1 is missing"
		: globalThis.isSecureContext === false
			? "browsers give it to pages of https and localhost alone"
			: "this browser has none";

/** @throws device_unavailable */
async function requireGpu(platform: Platform): Promise<GPU> {
	const gpu = await platform.gpu();
	if (gpu !== null) return gpu;
	throw new NanoVllmError(
		"device_unavailable",
		`no WebGPU: ${gpuAbsence(platform)}. Mend that, or use device "cpu".`,
	);
}

/** What times a device's kernels one by one; no model is loaded. @throws device_unavailable */
export async function openKernelBench(
	device: "cpu" | "webgpu",
	platform: Platform,
): Promise<KernelBench> {
	switch (device) {
		case "cpu": {
			const module = await import("./backends/cpu/bench/bench.ts");
			return module.createCpuKernelBench(platform);
		}
		case "webgpu": {
			const module = await import("./backends/webgpu/bench/bench.ts");
			return module.createWebgpuKernelBench(await requireGpu(platform));
		}
		default:
			return device satisfies never;
	}
}

/** The reference backend computes in f32 and nothing else; asking it for more is a mistake worth naming. */
function checkReferenceOptions(config: EngineConfig): void {
	const { quantization, dtype, kvCacheDtype } = config;
	const asked = { quantization, dtype, kvCacheDtype };
	for (const [name, value] of Object.entries(asked))
		if (value !== null && value !== "auto" && value !== "f32")
			throw new NanoVllmError(
				"invalid_option",
				`${name} is ${value}: the reference backend computes and stores in f32. Leave the option out.`,
			);
}
