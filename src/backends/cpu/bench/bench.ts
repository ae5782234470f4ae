/**
 * Times the CPU kernels as the backend runs them: a small program of one kind of op, laid out in one memory and walked by all
 * threads. Weights and keys are larger than the caches and pass by in turn, as the layers of a model do. Times are the best of five.
 */
import { NanoVllmError } from "../../../errors.ts";
import type { Platform } from "../../../platform/platform.ts";
import { stepOf } from "../../bench-step.ts";
import {
	ATTENTION_SHAPES,
	type Ceilings,
	type KernelBench,
	type KernelBenchOptions,
	type KernelRow,
	linearWork,
	SAMPLER_SHAPES,
} from "../../kernel-bench.ts";
import { calibrate } from "../calibrate.ts";
import { instantiate, loadKernels } from "../kernels.ts";
import { type Layout, PAGE_BYTES, WASM_MEMORY_BYTES } from "../layout.ts";
import { writeStep } from "../step.ts";
import {
	attentionCase,
	type KernelCase,
	layOutCase,
	linearCase,
	samplerCase,
} from "./cases.ts";
import { measureCeilings, peakOf, READ_BYTES } from "./ceilings.ts";
import { fillCase } from "./fill.ts";
import { bestMs, startThreads, type Threads } from "./threads.ts";

const BLOCK_SIZE = 16;

export function createCpuKernelBench(platform: Platform): KernelBench {
	return async function* measureKernels(options) {
		const { sampleMs, wasmRevectorize, signal } = options;
		const numThreads = options.threads ?? platform.hardwareConcurrency;
		const cases = chosenCases(options);
		const layouts = cases.map((one) => layOutCase(one, numThreads, BLOCK_SIZE));
		const revectorize =
			platform.enableWasmRevectorize(wasmRevectorize) && wasmRevectorize;
		const { module, build } = await loadKernels(true, { fresh: !revectorize });
		const { wide } = calibrate(module, true, "q8_0", platform.now);
		yield {
			kind: "device",
			label: `cpu, ${numThreads} threads, ${build} build, revectorize ${revectorize ? "on" : "off"}, ${wide ? 16 : 8} columns at a time`,
		};

		const { memory, meeting } = allocateMemory(layouts);
		const kernels = instantiate(module, memory);
		const start = { module, memory, wide, numThreads, meeting };
		const threads = startThreads(platform, start);
		try {
			const ceilings = await measureCeilings(threads, memory, PAGE_BYTES, {
				numThreads,
				relaxed: build === "relaxed-shared",
				sampleMs,
			});
			yield { kind: "ceilings", ceilings };
			for (const [i, one] of cases.entries()) {
				signal?.throwIfAborted();
				fillCase(one, layouts[i], kernels, memory);
				const ms = await timeCase(one, layouts[i], memory, threads, sampleMs);
				yield { kind: "row", row: rowOf(one, ms, ceilings) };
			}
		} finally {
			await threads.close();
		}
	};
}

function chosenCases(options: KernelBenchOptions): KernelCase[] {
	return options.only.flatMap((kind): KernelCase[] => {
		switch (kind) {
			case "linear":
				return Array.from(linearWork(options), linearCase);
			case "attention":
				return ATTENTION_SHAPES.map(attentionCase);
			case "sampler":
				return SAMPLER_SHAPES.map(samplerCase);
			default:
				return kind satisfies never;
		}
	});
}

/** Room for the largest case, whose place the ceilings use first, and a page where the threads meet. @throws out_of_memory */
function allocateMemory(layouts: readonly Layout[]) {
	const largest = Math.max(
		PAGE_BYTES + READ_BYTES,
		...layouts.map((layout) => layout.memoryBytes),
	);
	const numPages = Math.ceil(largest / PAGE_BYTES) + 1;
	try {
		const memory = new WebAssembly.Memory({
			initial: numPages,
			maximum: WASM_MEMORY_BYTES / PAGE_BYTES,
			shared: true,
		});
		return { memory, meeting: (numPages - 1) * PAGE_BYTES };
	} catch (cause) {
		throw new NanoVllmError(
			"out_of_memory",
			`no room for a WebAssembly memory of ${Math.ceil(largest / 2 ** 20)} MiB. Measure fewer tokens, or smaller formats.`,
			{ cause },
		);
	}
}

/** @returns milliseconds of one kernel call */
async function timeCase(
	one: KernelCase,
	{ plan, steps: [header] }: Layout,
	memory: WebAssembly.Memory,
	threads: Threads,
	sampleMs: number,
): Promise<number> {
	const step = stepOf(one, BLOCK_SIZE);
	writeStep(memory.buffer, header, step, one.program.vocabSize, 0);
	const job = (count: number) =>
		({ kind: "walk", plan, header, count }) as const;
	return (await bestMs(threads, job, sampleMs)) / one.repeats;
}

function rowOf(one: KernelCase, ms: number, ceilings: Ceilings): KernelRow {
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
				: flopsPerSecond / peakOf(one.format, ceilings),
	};
}
