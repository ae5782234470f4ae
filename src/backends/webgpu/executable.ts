/**
 * Runs steps: writes the step's small arrays, encodes one compute pass of dispatches made long before, submits it, and reads ids
 * when they are there. Steps overlap: the queue runs them in order, and writes to buffers take their place in that order.
 */
import { NanoVllmError } from "../../errors.ts";
import type { Executable, Limits, StepInput, StepOutput } from "../backend.ts";
import type { Program } from "../program.ts";
import { createActivations } from "./activations.ts";
import type { AdapterRoom } from "./adapter-room.ts";
import { createRopeTables } from "./attention-plan.ts";
import { createAttentionWork } from "./attention-work.ts";
import { type Gpu, USAGE } from "./device.ts";
import { encode } from "./dispatch.ts";
import type { KernelCompiler } from "./kernel.ts";
import type { KvCache } from "./kv-cache.ts";
import { CARRIED, paddedRows, type Storage, stride } from "./layout.ts";
import type { DeviceWeights } from "./load-weights.ts";
import type { Patience } from "./patience.ts";
import { buildPlan } from "./plan.ts";
import type { OpenRecorder } from "./recorder.ts";
import { createSampler } from "./sampler.ts";

export interface ExecutableParts {
	readonly gpu: Gpu;
	readonly compile: KernelCompiler;
	readonly program: Program;
	readonly weights: DeviceWeights;
	readonly cache: KvCache;
	/** null: the program has no adapters. */
	readonly adapters: AdapterRoom | null;
	readonly limits: Limits;
	readonly storage: Storage;
	readonly patience: Patience;
	readonly openRecorder: OpenRecorder;
}

/** Logits of a step are made and sampled in slices of rows, so that prompt logprobs of a long prompt need no gigabytes. */
const LOGITS_BYTES = 256 * 2 ** 20;
/** Slices begin where a binding of the row numbers may. */
const SLICE_ROWS = 128;

/** @throws out_of_memory */
export async function createExecutable(
	parts: ExecutableParts,
): Promise<Executable> {
	const { gpu, program, limits, storage, weights, cache } = parts;
	const { openRecorder, patience, adapters } = parts;
	const { device } = gpu;
	const { maxNumBatchedTokens, maxNumSeqs } = limits;
	const maxRows = maxNumBatchedTokens + maxNumSeqs;
	const sliceRows = sliceRowsOf(gpu, program.vocabSize, maxRows);
	const create = (label: string, size: number) => {
		const usage = USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC;
		return device.createBuffer({ label, size, usage });
	};
	const buffers = await gpu.guarded("the activations", () => ({
		activations: createActivations(gpu, program, limits, storage),
		tokens: create("tokens", 16 * maxNumBatchedTokens),
		rows: create("logit rows", 4 * paddedRows(maxRows + sliceRows)),
		logits: create("logits", 4 * sliceRows * stride(program.vocabSize)),
		work: createAttentionWork(gpu, program, limits),
		ropeTables: createRopeTables(gpu, program, limits.maxModelLen),
	}));
	const { tokens, rows, logits, work } = buffers;
	const sampler = await createSampler(gpu, parts.compile, {
		vocabSize: program.vocabSize,
		logits,
		sliceRows,
		limits,
	});
	const plan = await gpu.guarded("the kernels", () =>
		buildPlan({ ...parts, ...buffers, sampler, sliceRows, maxRows }),
	);

	const tokenWords = new Uint32Array(4 * maxNumBatchedTokens);
	let numSteps = 0;
	const run = (input: StepInput): (() => Promise<StepOutput>) => {
		const { numTokens, numRows } = input;
		const parity = numSteps++ % 2;
		writeTokens(tokenWords, input);
		const { queue } = device;
		queue.writeBuffer(tokens, 0, tokenWords, 0, 4 * numTokens);
		if (numRows > 0)
			queue.writeBuffer(
				rows,
				0,
				input.logitRows as GPUAllowSharedBufferSource,
				0,
				numRows,
			);
		work.write(input);
		adapters?.write(input);
		sampler.write(input);
		const encoder = device.createCommandEncoder();
		const recorder = openRecorder(encoder);
		encode(recorder, plan.embed[parity], numTokens);
		encode(recorder, plan.layers(numTokens), numTokens);
		for (let first = 0; first < numRows; first += sliceRows) {
			const count = Math.min(sliceRows, numRows - first);
			encode(recorder, plan.logits(first / sliceRows, count), count);
			sampler.encode(recorder.pass("sample"), first, count);
		}
		recorder.end();
		const read = sampler.finish(encoder);
		queue.submit([encoder.finish()]);
		recorder.submitted();
		return read;
	};

	return {
		numBlocks: cache.numBlocks,
		weightBytes: weights.bytes,
		kvCacheBytes: cache.bytes,
		overlaps: true,
		lost: gpu.failed,
		async submit(input) {
			gpu.check();
			const read = run(input);
			try {
				const output = await patience.read(input.numTokens, read);
				gpu.check();
				return output;
			} catch (cause) {
				gpu.check();
				throw asBackendError(cause);
			}
		},
		async writeAdapter(slot, adapter) {
			gpu.check();
			adapters?.writeSlot(slot, adapter);
		},
		async close() {
			gpu.close();
		},
	};
}

function sliceRowsOf(
	{ abilities }: Gpu,
	vocabSize: number,
	maxRows: number,
): number {
	const rowBytes = 4 * stride(vocabSize);
	const bytes = Math.min(LOGITS_BYTES, abilities.bindingBytes);
	const fitting = Math.floor(bytes / rowBytes / SLICE_ROWS) * SLICE_ROWS;
	if (fitting * rowBytes > 0) return Math.min(fitting, paddedRows(maxRows));
	throw new NanoVllmError(
		"out_of_memory",
		`${SLICE_ROWS} rows of logits take ${SLICE_ROWS * rowBytes} bytes, this GPU binds at most ${abilities.bindingBytes}. Use device "cpu".`,
	);
}

/** [T] id, position, slot, 0: see layout.ts */
function writeTokens(words: Uint32Array, input: StepInput): void {
	const { numTokens, tokenIds, positions, slotMapping } = input;
	for (let t = 0; t < numTokens; t++) {
		words[4 * t] = tokenIds[t];
		words[4 * t + 1] = positions[t];
		words[4 * t + 2] = slotMapping[t];
	}
	for (let i = 0; i < input.numCarried; i++)
		words[4 * input.carryTo[i]] = CARRIED | input.carryFrom[i];
}

function asBackendError(cause: unknown): NanoVllmError {
	if (cause instanceof NanoVllmError) return cause;
	const message = cause instanceof Error ? cause.message : String(cause);
	return new NanoVllmError(
		"backend_failed",
		`a step on the GPU failed: ${message}`,
		{ cause },
	);
}
