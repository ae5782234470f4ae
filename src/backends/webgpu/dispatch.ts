/** What a step is made of: pipelines with their buffers bound, made once, and how many workgroups each wants this time. */
import type { CompiledKernel } from "./kernel.ts";
import type { Recorder } from "./recorder.ts";

export type Grid = readonly [x: number, y?: number, z?: number];

export interface Dispatch {
	readonly kernel: CompiledKernel;
	readonly bindGroup: GPUBindGroup;
	/** rows: tokens of the step, or rows of the slice of logits. null: nothing to do this time */
	readonly grid: (rows: number) => Grid | null;
}

export function encode(
	recorder: Recorder,
	dispatches: readonly Dispatch[],
	rows: number,
): void {
	for (const { kernel, bindGroup, grid } of dispatches) {
		const size = grid(rows);
		if (size === null) continue;
		const pass = recorder.pass(kernel.label);
		pass.setPipeline(kernel.pipeline);
		pass.setBindGroup(0, bindGroup);
		// Each argument takes its time on the way into the device's library.
		const [x, y = 1, z = 1] = size;
		if (y === 1 && z === 1) pass.dispatchWorkgroups(x);
		else if (z === 1) pass.dispatchWorkgroups(x, y);
		else pass.dispatchWorkgroups(x, y, z);
	}
}
