/** What is timed: kernels of one kind, with buffers that take turns. Knows no shape. */
import type { KernelFormat } from "../../kernel-bench.ts";
import type { Dispatch } from "../dispatch.ts";
import { bindGroupOf, type Kernel } from "../kernel.ts";
import type { Room } from "./room.ts";
import type { EncodeRound } from "./timer.ts";

export interface KernelCase {
	readonly name: string;
	readonly format: KernelFormat;
	readonly numTokens: number;
	/** Of one round: products added up, and bytes that must come from memory. */
	readonly macs: number;
	readonly bytes: number;
	/** Makes the buffers. @throws out_of_memory by way of `gpu.guarded` */
	open(room: Room): Promise<OpenCase>;
}

export interface OpenCase {
	readonly encode: EncodeRound;
	/** Of the arithmetic of its kernels. */
	readonly peak: Peak;
}

export const PEAKS = {
	matrix: "f16 matrix products",
	float: "f32 multiply-add",
} as const;
export type Peak = keyof typeof PEAKS;

/** Together larger than any cache, so that weights come from memory as in a model of many layers. */
const STREAMED_BYTES = 256 * 2 ** 20;
const MOST_COPIES = 64;

export function copiesOf(bytes: number): number {
	const wanted = Math.ceil(STREAMED_BYTES / bytes);
	return Math.min(MOST_COPIES, Math.max(1, wanted));
}

/** Kernels that use the device's matrix units say so in their labels. */
export const peakOf = (kernels: readonly Kernel[]): Peak =>
	kernels.some(({ label }) => label.includes("matrix")) ? "matrix" : "float";

/** A kernel over buffers found by the names of its bindings. */
export async function dispatchOf(
	{ gpu, compile }: Room,
	kernel: Kernel,
	buffers: Readonly<Record<string, GPUBuffer>>,
	grid: readonly [number, number?, number?],
): Promise<Dispatch> {
	const compiled = await compile(kernel);
	const bound = kernel.bindings.map(([name]) => {
		const buffer = buffers[name];
		if (buffer !== undefined) return buffer;
		throw new Error(`nano-vllm bug: ${kernel.label} has no buffer ${name}`);
	});
	const bindGroup = bindGroupOf(gpu.device, compiled, bound);
	return { kernel: compiled, bindGroup, grid: () => grid };
}

/** Round after round the next of some lists of dispatches. */
export function inTurn(lists: readonly (readonly Dispatch[])[]): EncodeRound {
	return (pass, round) => {
		for (const { kernel, bindGroup, grid } of lists[round % lists.length]) {
			const size = grid(0);
			if (size === null) continue;
			pass.setPipeline(kernel.pipeline);
			pass.setBindGroup(0, bindGroup);
			pass.dispatchWorkgroups(...size);
		}
	};
}
