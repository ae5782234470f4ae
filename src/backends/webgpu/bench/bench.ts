/**
 * Times the WebGPU kernels as a plan would dispatch them, each in a chain of its own runs. Weights and keys are larger than the
 * device's caches and pass by in turn, as the layers of a model do. Times are the best of five, after half a second of work.
 */
import {
	type Ceilings,
	type KernelBench,
	type KernelBenchOptions,
	type KernelRow,
	linearWork,
} from "../../kernel-bench.ts";
import { type Abilities, type Gpu, openGpu } from "../device.ts";
import { createKernelCompiler } from "../kernel.ts";
import { attentionCases } from "./attention.ts";
import type { KernelCase, Peak } from "./case.ts";
import { measureCeilings, peakRate } from "./ceilings.ts";
import { linearCase } from "./linear.ts";
import { createRoom, type Room } from "./room.ts";
import { samplerCases } from "./sampler.ts";
import { bestMs } from "./timer.ts";

export function createWebgpuKernelBench(entry: GPU): KernelBench {
	return async function* measureKernels(options) {
		const { sampleMs, signal } = options;
		const gpu = await openGpu(entry);
		try {
			yield { kind: "device", label: describe(gpu) };
			const room = createRoom(gpu, createKernelCompiler(gpu));
			const ceilings = await measureCeilings(room, sampleMs);
			yield { kind: "ceilings", ceilings };
			for (const one of chosenCases(options, gpu.abilities)) {
				signal?.throwIfAborted();
				const { ms, peak } = await timeCase(one, room, sampleMs);
				yield { kind: "row", row: rowOf(one, ms, peak, ceilings) };
			}
		} finally {
			gpu.close();
		}
	};
}

function describe({ description, abilities, timestamps }: Gpu): string {
	const { subgroupSize, subgroupMatrix } = abilities;
	return [
		`webgpu, ${description}`,
		`subgroups of ${subgroupSize} ${subgroupMatrix ? "with" : "without"} matrices`,
		`${timestamps ? "its own" : "the host's"} clock`,
		"bf16 is kept as f16",
	].join(", ");
}

function chosenCases(
	options: KernelBenchOptions,
	abilities: Abilities,
): KernelCase[] {
	return options.only.flatMap((kind): KernelCase[] => {
		switch (kind) {
			case "linear":
				return Array.from(linearWork(options), (work) =>
					linearCase(work, abilities),
				).filter((one) => one !== null);
			case "attention":
				return attentionCases();
			case "sampler":
				return samplerCases();
			default:
				return kind satisfies never;
		}
	});
}

async function timeCase(
	one: KernelCase,
	room: Room,
	sampleMs: number,
): Promise<{ ms: number; peak: Peak }> {
	try {
		const what = `${one.name}, ${one.format}, ${one.numTokens} tokens`;
		const open = () => one.open(room);
		const { encode, peak } = await room.gpu.guarded(what, open);
		return { ms: await bestMs(room.gpu, encode, sampleMs), peak };
	} finally {
		room.clear();
	}
}

function rowOf(
	one: KernelCase,
	ms: number,
	peak: Peak,
	ceilings: Ceilings,
): KernelRow {
	const bytesPerSecond = (1000 * one.bytes) / ms;
	const flopsPerSecond = one.macs > 0 ? (1000 * 2 * one.macs) / ms : null;
	return {
		kernel: one.name,
		format: one.format,
		tokens: one.numTokens,
		us: 1000 * ms,
		bytesPerSecond,
		flopsPerSecond,
		shareOfRead: bytesPerSecond / ceilings.bytesPerSecond,
		shareOfPeak:
			flopsPerSecond === null
				? null
				: flopsPerSecond / peakRate(ceilings, peak),
	};
}
