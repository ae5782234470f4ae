/**
 * The WebGPU backend: WGSL kernels written for the shapes of one model. compile() puts the weights on the device and binds every
 * buffer; a step writes a few small arrays, encodes one compute pass and submits it, and the host reads ids when they come.
 */
import { NanoVllmError } from "../../errors.ts";
import { isBlockDtype } from "../../weights/ggml-blocks.ts";
import type {
	Backend,
	CompileOptions,
	TensorDtype,
	WeightSource,
} from "../backend.ts";
import type { Program, Weight } from "../program.ts";
import { fuseAdapters } from "./adapter-fusion.ts";
import { createAdapterRoom } from "./adapter-room.ts";
import { type Gpu, openGpu } from "./device.ts";
import { createExecutable } from "./executable.ts";
import { createKernelCompiler } from "./kernel.ts";
import { createKvCache } from "./kv-cache.ts";
import type { MatrixFormat, Storage } from "./layout.ts";
import { loadWeights } from "./load-weights.ts";
import {
	createPatience,
	noPatience,
	type Patience,
	sleep,
} from "./patience.ts";
import { createTimingRecorder, openPass, type Timing } from "./recorder.ts";

export interface WebgpuOptions {
	readonly gpu: GPU;
	readonly quantization: "q8_0" | "q4_0" | null;
	/** auto: f32 where the checkpoint is f32, q8_0 and q4_0 where it is one of these, else f16. bf16 is kept as f16. */
	readonly dtype: "auto" | TensorDtype;
	/** Lets the event loop turn once, where waiting for the device keeps the host busy, as it does in Node; null elsewhere. */
	readonly yieldToEventLoop: (() => Promise<void>) | null;
	/** Times every step, for benchmarks; where the device has timestamps. */
	readonly timing?: Timing;
}

export function createWebgpuBackend(options: WebgpuOptions): Backend {
	return {
		name: "webgpu",
		async compile(given, source, compileOptions) {
			checkCacheDtype(compileOptions);
			const fused = fuseAdapters(given);
			const { program } = fused;
			const gpu = await openGpu(options.gpu);
			try {
				const compile = createKernelCompiler(gpu);
				const storage = storageOf(program, source, options);
				const weights = await loadWeights(
					gpu,
					compile,
					program,
					source,
					formatsOf(program, source, storage, options),
					compileOptions,
				);
				const { limits } = compileOptions;
				const adapters = await createAdapterRoom(gpu, fused, limits, storage);
				const taken = weights.bytes + (adapters?.bytes ?? 0);
				const cache = await createKvCache(gpu, program, limits, taken);
				return await createExecutable({
					gpu,
					compile,
					program,
					weights,
					cache,
					adapters,
					limits,
					storage,
					patience: patienceOf(options),
					openRecorder:
						options.timing && gpu.timestamps
							? createTimingRecorder(gpu, options.timing)
							: openPass,
				});
			} catch (cause) {
				const error = reasonOf(gpu, cause);
				gpu.close();
				throw error;
			}
		},
	};
}

const patienceOf = ({ yieldToEventLoop }: WebgpuOptions): Patience =>
	yieldToEventLoop === null
		? noPatience
		: createPatience(() => performance.now(), sleep, yieldToEventLoop);

/** What went wrong on the device, where something did: what the host met is then its consequence. */
function reasonOf(gpu: Gpu, cause: unknown): unknown {
	try {
		gpu.check();
	} catch (failure) {
		return failure;
	}
	return cause;
}

function checkCacheDtype({ kvCacheDtype }: CompileOptions): void {
	if (kvCacheDtype === "auto" || kvCacheDtype === "f16") return;
	throw new NanoVllmError(
		"invalid_option",
		`kvCacheDtype is ${kvCacheDtype}: device "webgpu" keeps keys and values in f16. Leave the option out.`,
	);
}

/**
 * f32 throughout where the checkpoint, or the user, has f32; else halves. Heads of an odd size, which no family has, are kept in f32 too: halves
 * of two heads would share a word.
 */
function storageOf(
	program: Program,
	source: WeightSource,
	{ quantization, dtype }: WebgpuOptions,
): Storage {
	if (program.kvLayers.some(({ headDim }) => headDim % 2 === 1)) return "f32";
	if (quantization !== null) return "f16";
	if (dtype !== "auto") return dtype === "f32" ? "f32" : "f16";
	const stored = program.ops.flatMap((op) =>
		"weight" in op
			? op.weight.parts.map(({ tensor }) => source.tensors.get(tensor)?.dtype)
			: [],
	);
	// A checkpoint of blocks keeps its small matrices in f32 where they cost nothing: no sign that anything needs f32.
	if (stored.some((dtype) => dtype !== undefined && isBlockDtype(dtype)))
		return "f16";
	return stored.includes("f32") ? "f32" : "f16";
}

/**
 * Quantized embeddings and output head keep 8 bits under q4_0: every token passes through them. Routers stay in f32: one wrong expert is
 * worse than all rounding. Where nobody asks for a format, matrices
 * that are q8_0 or q4_0 stay so; other block types become f16, whose rounding of at most 2^−11 of a weight is far below what the blocks
 * have rounded already.
 */
function formatsOf(
	program: Program,
	source: WeightSource,
	storage: Storage,
	{ quantization, dtype }: WebgpuOptions,
): (weight: Weight) => MatrixFormat {
	const vocabulary = new Set(
		program.ops.flatMap((op) =>
			op.op === "embed" || op.op === "logits" ? [op.weight.name] : [],
		),
	);
	const routers = new Set(
		program.ops.flatMap((op) =>
			op.op === "mixtureOfExperts" ? [op.router.name] : [],
		),
	);
	return ({ name, parts }) => {
		if (routers.has(name)) return "f32";
		if (quantization !== null)
			return vocabulary.has(name) ? "q8_0" : quantization;
		const [first, ...others] = parts.map(
			({ tensor }) => source.tensors.get(tensor)?.dtype,
		);
		const isNative = first === "q8_0" || first === "q4_0";
		const isOne = others.every((other) => other === first);
		return dtype === "auto" && isNative && isOne ? first : storage;
	};
}
