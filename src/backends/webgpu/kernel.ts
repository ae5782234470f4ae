/**
 * A compute kernel as text, and how it becomes a pipeline. The label is its name everywhere: pipeline, test, bench row.
 * Knows no model. Kernels are written by the typed functions in kernels/, one file per op.
 */
import { NanoVllmError } from "../../errors.ts";
import type { Gpu } from "./device.ts";

/** `read` and `write` (read and written) are storage buffers. */
export type Access = "read" | "write" | "uniform";

/** Name in the text, access, WGSL type, in binding order of group 0. */
export type Binding = readonly [name: string, access: Access, type: string];

export interface Kernel {
	/** Says the op and every option the text depends on: two kernels of one label are the same text. */
	readonly label: string;
	readonly bindings: readonly Binding[];
	/** Directives, constants, functions and the entry point `main`; bindings are declared by `sourceOf`. */
	readonly code: string;
}

export interface CompiledKernel {
	readonly label: string;
	readonly pipeline: GPUComputePipeline;
	readonly layout: GPUBindGroupLayout;
}

const BUFFER_TYPES = {
	read: "read-only-storage",
	write: "storage",
	uniform: "uniform",
} as const;

const ADDRESS_SPACES = {
	read: "storage, read",
	write: "storage, read_write",
	uniform: "uniform",
} as const;

/** The whole module: `enable` and `diagnostic` lines of the code first, as WGSL wants them, then bindings, then the rest. */
export function sourceOf({ bindings, code }: Kernel): string {
	const lines = code.split("\n");
	const isDirective = (line: string) =>
		/^\s*(enable|diagnostic|requires)\b/.test(line);
	const declared = bindings.map(
		([name, access, type], i) =>
			`@group(0) @binding(${i}) var<${ADDRESS_SPACES[access]}> ${name}: ${type};`,
	);
	return [
		...lines.filter(isDirective),
		...declared,
		...lines.filter((line) => !isDirective(line)),
	].join("\n");
}

export type KernelCompiler = (kernel: Kernel) => Promise<CompiledKernel>;

/** Compiles kernels side by side, each label once. A device that cannot bind a kernel's buffers rejects with device_unavailable. */
export function createKernelCompiler(gpu: Gpu): KernelCompiler {
	const { device, abilities } = gpu;
	const compiled = new Map<string, Promise<CompiledKernel>>();
	const compile = async (kernel: Kernel): Promise<CompiledKernel> => {
		const { label, bindings } = kernel;
		checkBindings(kernel, abilities.storageBuffers);
		const layout = device.createBindGroupLayout({
			label,
			entries: bindings.map(([, access], binding) => ({
				binding,
				visibility: 4, // compute
				buffer: { type: BUFFER_TYPES[access] },
			})),
		});
		const module = device.createShaderModule({ label, code: sourceOf(kernel) });
		const pipeline = await device.createComputePipelineAsync({
			label,
			layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
			compute: { module, entryPoint: "main" },
		});
		return { label, pipeline, layout };
	};
	return (kernel) => {
		const known = compiled.get(kernel.label);
		if (known !== undefined) return known;
		const fresh = compile(kernel);
		compiled.set(kernel.label, fresh);
		return fresh;
	};
}

/** @throws device_unavailable */
function checkBindings({ label, bindings }: Kernel, most: number): void {
	const count = bindings.filter(([, access]) => access !== "uniform").length;
	if (count <= most) return;
	throw new NanoVllmError(
		"device_unavailable",
		`this model's kernel ${label} wants ${count} storage buffers, this GPU binds at most ${most}. Use device "cpu".`,
	);
}

/** A buffer, or part of one, for each binding in order. */
export function bindGroupOf(
	device: GPUDevice,
	{ label, layout }: CompiledKernel,
	buffers: readonly (GPUBuffer | GPUBufferBinding)[],
): GPUBindGroup {
	return device.createBindGroup({
		label,
		layout,
		entries: buffers.map((buffer, binding) => ({
			binding,
			resource: "buffer" in buffer ? buffer : { buffer },
		})),
	});
}
