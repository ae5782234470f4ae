/**
 * The CPU backend: WebAssembly SIMD kernels over one memory that all threads share. compile() lays the program out and packs
 * the weights; a step is one array write and one wake-up, and the threads walk the plan by themselves.
 */
import { NanoVllmError } from "../../errors.ts";
import type { Platform } from "../../platform/platform.ts";
import type {
	Backend,
	Executable,
	LogprobTable,
	RowFailure,
	StepInput,
	StepOutput,
	TensorDtype,
} from "../backend.ts";
import { writeAdapterSlot } from "./adapter-tasks.ts";
import { calibrate } from "./calibrate.ts";
import { formatsOf, mendOf } from "./fit.ts";
import type { WeightFormat } from "./format.ts";
import { instantiate, loadKernels } from "./kernels.ts";
import {
	type Layout,
	layOut,
	PAGE_BYTES,
	WASM_MEMORY_BYTES,
} from "./layout.ts";
import { loadWeights } from "./load-weights.ts";
import type { RopeTable } from "./places.ts";
import { NUM_STEPS } from "./plan.ts";
import { inlineRunner, type StepRunner, workerRunner } from "./pool.ts";
import {
	FAILURES,
	ROW,
	ROW_WORDS,
	type WrittenStep,
	writeStep,
} from "./step.ts";

export interface CpuOptions {
	readonly platform: Platform;
	/** null: one per core */
	readonly threads: number | null;
	readonly quantization: "q8_0" | "q4_0" | null;
	/** auto: as the checkpoint stores them, of ggml's block types q8_0 and q4_0; the others as f16 */
	readonly dtype: "auto" | TensorDtype;
	/** Let V8 join pairs of SIMD operations where it can. */
	readonly revectorize: boolean;
}

export function createCpuBackend(options: CpuOptions): Backend {
	return {
		name: "cpu",
		async compile(program, source, compileOptions) {
			const shared = canShareMemory();
			const numThreads = numThreadsOf(options);
			const { limits, kvCacheDtype } = compileOptions;
			const layoutOptions = {
				limits,
				numThreads,
				cacheType: kvCacheDtype === "auto" ? "f16" : kvCacheDtype,
				formatOf: formatsOf(source, options),
			};
			const layout = layOut(program, {
				...layoutOptions,
				mend: () => mendOf(program, source, options, layoutOptions),
			});
			const memory = allocateMemory(layout.memoryBytes, shared);
			const formats = new Set(layout.matrices.map((matrix) => matrix.format));
			const { module, wide } = await trustedKernels(shared, formats, options);
			const kernels = instantiate(module, memory);
			await loadWeights(layout, kernels, memory, source, compileOptions);
			const slots = layout.plan.control + 192;
			const runner = shared
				? await workerRunner(
						options.platform,
						layout.plan,
						module,
						memory,
						wide,
						slots,
					)
				: inlineRunner(layout.plan, module, memory, wide);
			return createExecutable(
				layout,
				memory,
				runner,
				program.vocabSize,
				limits.maxModelLen,
			);
		},
	};
}

/** Kernels that passed their trial. Where the revectorized ones fail it, V8 is told to compile plainly, and says nothing more of it. */
async function trustedKernels(
	shared: boolean,
	formats: ReadonlySet<WeightFormat>,
	{ revectorize, platform }: CpuOptions,
): Promise<{ module: WebAssembly.Module; wide: boolean }> {
	const trial = (module: WebAssembly.Module) => {
		const results = [...formats].map((format) =>
			calibrate(module, shared, format, platform.now),
		);
		const correct = results.every((result) => result.correct);
		return { correct, wide: results[0].wide };
	};
	const joined = platform.enableWasmRevectorize(revectorize) && revectorize;
	const { module } = await loadKernels(shared, { fresh: !revectorize });
	const result = trial(module);
	if (result.correct) return { module, wide: result.wide };
	if (joined) {
		platform.enableWasmRevectorize(false);
		const plain = await loadKernels(shared, { fresh: true });
		const second = trial(plain.module);
		if (second.correct) return { module: plain.module, wide: second.wide };
	}
	throw new NanoVllmError(
		"device_unavailable",
		'the cpu kernels give wrong results on this engine. Update Node or the browser, or use device "reference".',
	);
}

/** How many threads, and why not more, for people. */
export function describeThreads(options: CpuOptions): string {
	if (!canShareMemory())
		return "one thread: the page is not cross-origin isolated. Serve it with the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp for more";
	const count = numThreadsOf(options);
	return count === 1 ? "one thread" : `${count} threads`;
}

const numThreadsOf = ({ threads, platform }: CpuOptions): number =>
	canShareMemory() ? (threads ?? platform.hardwareConcurrency) : 1;

function canShareMemory(): boolean {
	return (
		typeof SharedArrayBuffer === "function" &&
		(globalThis.crossOriginIsolated ?? true)
	);
}

/** @throws out_of_memory */
function allocateMemory(bytes: number, shared: boolean): WebAssembly.Memory {
	const initial = Math.ceil(bytes / PAGE_BYTES);
	const maximum = WASM_MEMORY_BYTES / PAGE_BYTES;
	try {
		return new WebAssembly.Memory({ initial, maximum, shared });
	} catch (cause) {
		throw new NanoVllmError(
			"out_of_memory",
			`no room for a WebAssembly memory of ${Math.ceil(bytes / 2 ** 20)} MiB. Lower kvCacheMemoryBytes or maxNumBatchedTokens, or load with a quantization.`,
			{ cause },
		);
	}
}

function createExecutable(
	layout: Layout,
	memory: WebAssembly.Memory,
	runner: StepRunner,
	vocabSize: number,
	maxModelLen: number,
): Executable {
	let numSteps = 0;
	let previousRows = 0;
	let numRopePositions = 0;
	/** Kept when all steps submitted have run. */
	let lastStep: Promise<void> = Promise.resolve();

	const extendRope = (input: StepInput) => {
		let last = 0;
		for (let t = 0; t < input.numTokens; t++)
			last = Math.max(last, input.positions[t]);
		if (last < numRopePositions) return;
		const until = Math.min(
			maxModelLen,
			Math.max(last + 1, 2 * numRopePositions, 256),
		);
		for (const table of layout.ropeTables)
			fillRope(memory, table, numRopePositions, until);
		numRopePositions = until;
	};

	return {
		numBlocks: layout.numBlocks,
		weightBytes: layout.weightBytes,
		kvCacheBytes: layout.kvCacheBytes,
		overlaps: runner.overlaps,
		lost: runner.lost,
		submit(input) {
			const header = layout.steps[numSteps % NUM_STEPS];
			extendRope(input);
			const step = writeStep(
				memory.buffer,
				header,
				input,
				vocabSize,
				previousRows,
			);
			previousRows = step.rows;
			numSteps++;
			const { numRows, numSampleRows } = input;
			const run = runner.run(header);
			lastStep = run.catch(() => {}); // heard below
			return run.then(() => readOutput(memory, step, numRows, numSampleRows));
		},
		async writeAdapter(slot, adapter) {
			await lastStep;
			writeAdapterSlot(layout.plan, memory.buffer, slot, adapter);
		},
		close: () => runner.close(),
	};
}

/** f32 [position][2F]: F cosines, F sines. The angle is rounded to f32, as transformers computes it. */
function fillRope(
	memory: WebAssembly.Memory,
	{ address, rope }: RopeTable,
	from: number,
	until: number,
): void {
	const { inverseFrequencies, scale } = rope;
	const half = inverseFrequencies.length;
	const table = new Float32Array(memory.buffer, address, until * half * 2);
	for (let position = from; position < until; position++) {
		for (let i = 0; i < half; i++) {
			const angle = Math.fround(position * inverseFrequencies[i]);
			table[position * 2 * half + i] = scale * Math.cos(angle);
			table[position * 2 * half + half + i] = scale * Math.sin(angle);
		}
	}
}

function readOutput(
	memory: WebAssembly.Memory,
	{ rows, refused }: WrittenStep,
	numRows: number,
	numSampleRows: number,
): StepOutput {
	const i32 = new Int32Array(memory.buffer);
	const tokenIds = new Int32Array(numSampleRows);
	const failedRows = new Map<number, RowFailure>();
	for (let r = 0; r < numRows; r++) {
		const result = i32[rows / 4 + r * ROW_WORDS + ROW.result];
		const failure = refused.has(r) ? "too_large" : FAILURES.get(result);
		if (failure !== undefined) failedRows.set(r, failure);
		else if (r < numSampleRows) tokenIds[r] = result;
	}
	return {
		tokenIds,
		failedRows,
		logprobs: readLogprobs(memory, rows, numRows, failedRows),
	};
}

function readLogprobs(
	memory: WebAssembly.Memory,
	rows: number,
	numRows: number,
	failedRows: ReadonlyMap<number, RowFailure>,
): LogprobTable | null {
	const words = new Uint32Array(memory.buffer);
	const start = new Int32Array(numRows + 1);
	for (let r = 0; r < numRows; r++) {
		const entries = words[rows / 4 + r * ROW_WORDS + ROW.entries];
		start[r + 1] = start[r] + (failedRows.has(r) ? 0 : entries);
	}
	const total = start[numRows];
	if (total === 0) return null;
	const table = {
		start,
		tokenIds: new Int32Array(total),
		logprobs: new Float32Array(total),
		ranks: new Int32Array(total),
	};
	for (let r = 0; r < numRows; r++) {
		const length = start[r + 1] - start[r];
		const row = rows / 4 + r * ROW_WORDS;
		const at = (word: number) => words[row + word];
		table.tokenIds.set(
			new Int32Array(memory.buffer, at(ROW.entryTokens), length),
			start[r],
		);
		table.logprobs.set(
			new Float32Array(memory.buffer, at(ROW.entryLogprobs), length),
			start[r],
		);
		table.ranks.set(
			new Int32Array(memory.buffer, at(ROW.entryRanks), length),
			start[r],
		);
	}
	return table;
}
