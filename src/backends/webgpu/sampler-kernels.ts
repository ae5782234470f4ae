/** The sampling kernels compiled, with the buffers each slice of a step binds. */
import {
	bindGroupOf,
	type CompiledKernel,
	type KernelCompiler,
} from "./kernel.ts";
import { logprobsBest } from "./kernels/logprobs-best.ts";
import { logprobsCopy } from "./kernels/logprobs-copy.ts";
import { logprobsScan } from "./kernels/logprobs-scan.ts";
import { sampleEdit, sampleUndo } from "./kernels/sample-edit.ts";
import { sampleFilter } from "./kernels/sample-filter.ts";
import { samplePick } from "./kernels/sample-pick.ts";
import type { SampleShape } from "./kernels/sample-row.ts";
import { sampleScan } from "./kernels/sample-scan.ts";

const KERNELS = {
	edit: sampleEdit,
	scan: sampleScan,
	pick: samplePick,
	filter: sampleFilter,
	undo: sampleUndo,
	logprobsScan,
	logprobsBest,
	logprobsCopy,
} as const;

export type SamplerKernel = keyof typeof KERNELS;

/** A buffer for every name a sampling kernel binds; those of a slice and of a step's parity are among them. */
export type BoundBuffers = (name: string) => GPUBuffer;

export interface SamplerKernels {
	/** Bind groups are kept by `key`, which says all that `buffers` depends on. */
	dispatch(
		pass: GPUComputePassEncoder,
		kernel: SamplerKernel,
		key: string,
		buffers: BoundBuffers,
		x: number,
		y?: number,
	): void;
	/** Buffers have changed. */
	forget(): void;
}

export async function compileSamplerKernels(
	device: GPUDevice,
	compile: KernelCompiler,
	shape: SampleShape,
): Promise<SamplerKernels> {
	const compiled = new Map(
		await Promise.all(
			Object.entries(KERNELS).map(
				async ([name, write]): Promise<[string, BoundKernel]> => {
					const kernel = write(shape);
					const names = kernel.bindings.map(([binding]) => binding);
					return [name, { compiled: await compile(kernel), names }];
				},
			),
		),
	);
	const groups = new Map<string, GPUBindGroup>();
	return {
		dispatch(pass, name, key, buffers, x, y = 1) {
			if (x === 0 || y === 0) return;
			const kernel = compiled.get(name) as BoundKernel;
			const id = `${name} ${key}`;
			let group = groups.get(id);
			if (group === undefined) {
				group = bindGroupOf(device, kernel.compiled, kernel.names.map(buffers));
				groups.set(id, group);
			}
			pass.setPipeline(kernel.compiled.pipeline);
			pass.setBindGroup(0, group);
			pass.dispatchWorkgroups(x, y);
		},
		forget: () => groups.clear(),
	};
}

interface BoundKernel {
	readonly compiled: CompiledKernel;
	readonly names: readonly string[];
}
