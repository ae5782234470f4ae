/** Whether a model fits the devices of this machine. */
import type { Program } from "../backends/program.ts";
import { measureOnCpu } from "../load.ts";
import type { ModelConfig } from "../models/config.ts";
import type { MachineMemory, Platform } from "../platform/platform.ts";
import { FORMATS, type WeightFormatName } from "./weights.ts";

export interface GpuFacts {
	readonly name: string;
	readonly maxBufferBytes: number;
	readonly maxBindingBytes: number;
}

export interface Fit {
	readonly device: "cpu" | "webgpu";
	readonly format: WeightFormatName;
	/** null where nobody can say. */
	readonly fits: boolean | null;
	/** Tokens of KV cache beside the weights; null where nobody can say. */
	readonly kvTokens: number | null;
	/** What is lacking, or what is not known. */
	readonly reason: string | null;
}

export interface Facts {
	readonly config: ModelConfig | null;
	readonly program: Program | null;
	readonly unsupported: string | null;
	readonly weightBytes: Readonly<Record<WeightFormatName, number>> | null;
	readonly memory: MachineMemory | null;
	readonly gpu: GpuFacts | null;
}

export async function gpuFacts(platform: Platform): Promise<GpuFacts | null> {
	const adapter = await (await platform.gpu())?.requestAdapter();
	// One in software is slower than the cpu device.
	if (!adapter || adapter.info.isFallbackAdapter) return null;
	const { limits, info } = adapter;
	return {
		name: info.description || info.device || info.vendor || "a GPU",
		maxBufferBytes: limits.maxBufferSize,
		maxBindingBytes: limits.maxStorageBufferBindingSize,
	};
}

/** What the device itself says it would take, beside what the machine has. */
export async function cpuFits(
	facts: Facts,
	platform: Platform,
): Promise<Fit[]> {
	const { program, config, memory, unsupported } = facts;
	if (program === null || config === null || unsupported !== null) return [];
	const available = memory?.availableBytes ?? Infinity;
	const fits: Fit[] = [];
	for (const format of FORMATS) {
		const options =
			format === "f16"
				? ({ quantization: null, dtype: "f16" } as const)
				: ({ quantization: format, dtype: "auto" } as const);
		const need = await measureOnCpu(program, config, platform, options);
		const { deviceBytes, bytesPerBlock, blockSize } = need;
		const needed = need.weightBytes + need.stepBytes;
		const room = Math.min(deviceBytes, available) - needed;
		const kvTokens = Math.max(0, Math.floor(room / bytesPerBlock)) * blockSize;
		const lacking =
			needed + bytesPerBlock > deviceBytes
				? `a WebAssembly memory holds ${mib(deviceBytes)}`
				: `${mib(available)} of memory are available`;
		fits.push({
			device: "cpu",
			format,
			fits: kvTokens > 0,
			kvTokens,
			reason:
				kvTokens > 0
					? null
					: `weights and step buffers take ${mib(needed)}, ${lacking}`,
		});
	}
	return fits;
}

/** A GPU tells how large one buffer may be, never how much memory it has. */
export function gpuFits({
	weightBytes,
	gpu,
	config,
	unsupported,
}: Facts): Fit[] {
	if (weightBytes === null || gpu === null || unsupported !== null) return [];
	if (config === null) return [];
	const layerBytes = config.numKvHeads * config.headDim * 2;
	// Keys of one layer are one binding.
	const kvTokens = Math.floor(gpu.maxBindingBytes / layerBytes);
	return FORMATS.map((format) => ({
		device: "webgpu",
		format,
		fits: null,
		kvTokens,
		reason: `weights take ${mib(weightBytes[format])}, and a GPU does not tell how much memory it has; at most ${kvTokens.toLocaleString("en-US")} tokens of KV`,
	}));
}

const mib = (bytes: number): string =>
	`${Math.ceil(bytes / 2 ** 20).toLocaleString("en-US")} MiB`;
