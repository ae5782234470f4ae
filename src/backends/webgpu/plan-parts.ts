/** What the plan is made from, and the small steps every part of it takes. Knows no op. */
import type { Limits } from "../backend.ts";
import type { Program, Weight } from "../program.ts";
import type { Activations } from "./activations.ts";
import type { AdapterRoom } from "./adapter-room.ts";
import type { RopeTables } from "./attention-plan.ts";
import type { AttentionWork } from "./attention-work.ts";
import type { Gpu } from "./device.ts";
import type { Dispatch, Grid } from "./dispatch.ts";
import { bindGroupOf, type Kernel, type KernelCompiler } from "./kernel.ts";
import type { KvCache } from "./kv-cache.ts";
import type { Storage } from "./layout.ts";
import type { DeviceMatrix, DeviceWeights } from "./load-weights.ts";
import type { Sampler } from "./sampler.ts";

export interface PlanParts {
	readonly gpu: Gpu;
	readonly compile: KernelCompiler;
	readonly program: Program;
	readonly weights: DeviceWeights;
	readonly cache: KvCache;
	readonly limits: Limits;
	readonly storage: Storage;
	readonly activations: Activations;
	/** null: the program has none. */
	readonly adapters: AdapterRoom | null;
	readonly tokens: GPUBuffer;
	readonly rows: GPUBuffer;
	readonly logits: GPUBuffer;
	readonly work: AttentionWork;
	readonly ropeTables: RopeTables;
	readonly sampler: Sampler;
	/** Rows of a slice of logits, and of all slices of a step. */
	readonly sliceRows: number;
	readonly maxRows: number;
}

/** What is bound: a whole buffer, or a buffer from an offset on. */
export type Bound = GPUBuffer | GPUBufferBinding;

export async function dispatchOf(
	{ gpu, compile }: PlanParts,
	kernel: Kernel,
	buffers: readonly Bound[],
	grid: (rows: number) => Grid | null,
): Promise<Dispatch> {
	const compiled = await compile(kernel);
	const bindGroup = bindGroupOf(gpu.device, compiled, buffers);
	return { kernel: compiled, bindGroup, grid };
}

export function matrixOf(
	{ matrices }: DeviceWeights,
	{ name }: Weight,
): DeviceMatrix {
	const matrix = matrices.get(name);
	if (matrix === undefined) throw new Error(`matrix ${name} is not loaded`);
	return matrix;
}

export function vectorOf(
	{ vectors }: DeviceWeights,
	{ name }: Weight,
): GPUBuffer {
	const vector = vectors.get(name);
	if (vector === undefined) throw new Error(`vector ${name} is not loaded`);
	return vector;
}
