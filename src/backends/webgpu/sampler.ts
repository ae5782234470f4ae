/**
 * Samples on the device: uploads what a step's rows ask for, encodes the kernels that they need and no others, and reads results back
 * through a ring of staging buffers, so that steps overlap. Stages and their order are the reference's: see ../reference/sample.ts.
 */
import type { Limits, StepInput, StepOutput } from "../backend.ts";
import { type Gpu, USAGE } from "./device.ts";
import type { KernelCompiler } from "./kernel.ts";
import {
	chunksOf,
	FILTERS,
	groupsBytes,
	NONE,
	partialsBytes,
	ROW_WORDS,
	type SampleTuning,
	SCORES,
	SLICE_WORDS,
	sampleShape,
} from "./kernels/sample-row.ts";
import { stride } from "./layout.ts";
import {
	createGrowingBuffer,
	createStagingRing,
	type GrowingBuffer,
} from "./sampler-buffers.ts";
import { type BoundBuffers, compileSamplerKernels } from "./sampler-kernels.ts";
import {
	type Asked,
	askedOf,
	bestsPlace,
	outputOf,
	resultWords,
	scoresPlace,
} from "./sampler-output.ts";
import {
	createRowPacker,
	type PackedRows,
	type Words,
} from "./sampler-rows.ts";

export interface SamplerOptions {
	readonly vocabSize: number;
	/** f32 [sliceRows][stride(vocabSize)]; biases and penalties change it in place. */
	readonly logits: GPUBuffer;
	/** Rows `encode` takes at once, at most. */
	readonly sliceRows: number;
	readonly limits: Pick<Limits, "maxNumSeqs" | "maxNumBatchedTokens">;
	readonly tuning?: SampleTuning;
}

/** A step is written, encoded, finished and submitted before the next one is written; any number may wait to be read. */
export interface Sampler {
	/**
	 * u32 [maxNumSeqs]: the n-th step written (from 0 on) leaves its rows' tokens in sampled[n % 2], 0 where there is none, and reads
	 * those of the step before in the other.
	 */
	readonly sampled: readonly [GPUBuffer, GPUBuffer];
	/** Uploads what the rows ask for. The input is the caller's again. */
	write(input: StepInput): void;
	/** Rows first .. first + count − 1 of the step, whose raw logits lie in rows 0 .. count − 1. Slices come in order and cover the step. */
	encode(pass: GPUComputePassEncoder, first: number, count: number): void;
	/** Copies the results of the step; to be read once it is submitted. The read rejects where the device is lost. */
	finish(encoder: GPUCommandEncoder): () => Promise<StepOutput>;
	destroy(): void;
}

/** What a step needs between `write` and `finish`. */
interface Step {
	readonly asked: Asked;
	readonly packed: PackedRows;
	readonly numWords: number;
	readonly parity: number;
	numSlices: number;
	numWhole: number;
	/** Rows read whole, and where: device buffers in order. */
	readonly whole: { readonly buffer: GPUBuffer; readonly rows: number }[];
}

/** What the rows of a slice need together. */
interface SliceNeeds {
	readonly numSampling: number;
	readonly filters: boolean;
	readonly scores: boolean;
	readonly firstEdit: number;
	readonly numEdits: number;
	/** Logprobs are wanted of a row that is changed. */
	readonly undoes: boolean;
	readonly numWhole: number;
}

/** @throws out_of_memory, backend_failed */
export async function createSampler(
	gpu: Gpu,
	compile: KernelCompiler,
	options: SamplerOptions,
): Promise<Sampler> {
	const { device } = gpu;
	const { vocabSize, logits, sliceRows, limits } = options;
	const { maxNumSeqs, maxNumBatchedTokens } = limits;
	const maxRows = maxNumSeqs + maxNumBatchedTokens;
	const shape = sampleShape(vocabSize, gpu.abilities, options.tuning);
	const chunks = chunksOf(shape);
	const rowBytes = 4 * stride(vocabSize);
	const kernels = await gpu.guarded("the sampling kernels", () =>
		compileSamplerKernels(device, compile, shape),
	);
	const all = await gpu.guarded("the sampler", () => {
		const create = (label: string, bytes: number) =>
			createGrowingBuffer(device, `sampler ${label}`, bytes);
		return {
			rows: create("rows", 4 * ROW_WORDS * maxRows),
			edits: create("edits", 16),
			words: create("words", 16),
			partials: create("partials", partialsBytes(shape, sliceRows)),
			groups: create("groups", groupsBytes(shape, sliceRows)),
			counts: create("counts", 16),
			undo: create("undo", 16),
			results: create("results", 4 * maxRows),
			even: create("sampled 0", 4 * maxNumSeqs),
			odd: create("sampled 1", 4 * maxNumSeqs),
		};
	});
	const sampled = [all.even.buffer, all.odd.buffer] as const;
	const slices: {
		uniform: GPUBuffer;
		written: string;
		whole: GrowingBuffer | null;
	}[] = [];
	const staging = createStagingRing(device);
	const pack = createRowPacker({
		vocabSize,
		maxNumSeqs,
		maxNumBatchedTokens,
		sliceRows,
	});
	const sliceWords = new Uint32Array(SLICE_WORDS);
	let numSteps = 0;
	let step: Step | null = null;

	const reserve = (buffer: GrowingBuffer, bytes: number) => {
		if (buffer.reserve(bytes)) kernels.forget();
	};
	const upload = (buffer: GrowingBuffer, { u32, length }: Words) => {
		if (length === 0) return;
		reserve(buffer, 4 * length);
		device.queue.writeBuffer(buffer.buffer, 0, u32, 0, length);
	};
	const sliceAt = (index: number) => {
		slices[index] ??= {
			uniform: device.createBuffer({
				label: `sampler slice ${index}`,
				size: 4 * SLICE_WORDS,
				usage: USAGE.UNIFORM | USAGE.COPY_DST,
			}),
			written: "",
			whole: null,
		};
		return slices[index];
	};
	/** Written where it differs from the last step's. */
	const writeSlice = (index: number, words: readonly number[]) => {
		const slice = sliceAt(index);
		const written = words.join();
		if (slice.written === written) return slice;
		slice.written = written;
		sliceWords.set(words);
		device.queue.writeBuffer(slice.uniform, 0, sliceWords);
		return slice;
	};

	return {
		sampled,
		write(input) {
			const packed = pack(input);
			const numWords = resultWords(input.numRows, packed);
			upload(all.rows, packed.rows);
			upload(all.edits, packed.edits);
			upload(all.words, packed.words);
			reserve(all.counts, Math.min(packed.numPenalised, sliceRows) * rowBytes);
			reserve(all.undo, 8 * packed.numUndoPlaces);
			reserve(all.results, 4 * numWords);
			step = {
				asked: askedOf(input, packed, vocabSize),
				packed,
				numWords,
				parity: numSteps++ % 2,
				numSlices: 0,
				numWhole: 0,
				whole: [],
			};
		},
		encode(pass, first, count) {
			if (step === null) throw new Error("nano-vllm bug: no step is written");
			const { asked, packed, parity } = step;
			const index = step.numSlices++;
			const needs = needsOf(asked, packed, first, count);
			const slice = writeSlice(index, [
				first,
				needs.firstEdit,
				scoresPlace(asked.numRows),
				bestsPlace(asked.numRows),
				step.numWhole,
			]);
			if (needs.numWhole > 0) {
				slice.whole ??= createGrowingBuffer(device, `whole rows ${index}`, 16);
				reserve(slice.whole, needs.numWhole * rowBytes);
				step.whole.push({ buffer: slice.whole.buffer, rows: needs.numWhole });
				step.numWhole += needs.numWhole;
			}
			const buffers: BoundBuffers = (name) => {
				if (name === "slice") return slice.uniform;
				if (name === "logits") return logits;
				if (name === "whole") return (slice.whole as GrowingBuffer).buffer;
				if (name === "sampled") return sampled[parity];
				if (name === "before") return sampled[1 - parity];
				return all[name as keyof typeof all].buffer;
			};
			const key = `${index} ${parity}`;
			const run = (
				kernel: Parameters<typeof kernels.dispatch>[1],
				x: number,
				y?: number,
			) => kernels.dispatch(pass, kernel, key, buffers, x, y);
			run("edit", needs.numEdits);
			run("scan", chunks, needs.numSampling);
			run(needs.filters ? "filter" : "pick", needs.numSampling);
			if (!needs.scores) return;
			if (needs.undoes) run("undo", needs.numEdits);
			run("logprobsScan", chunks, count);
			run("logprobsBest", count);
			if (needs.numWhole > 0) run("logprobsCopy", chunks, count);
		},
		finish(encoder) {
			if (step === null) throw new Error("nano-vllm bug: no step is written");
			const { asked, numWords, whole } = step;
			step = null;
			const copy = (from: GPUBuffer, bytes: number) => {
				const to = staging.take(bytes);
				encoder.copyBufferToBuffer(from, 0, to, 0, bytes);
				return <T>(use: (data: ArrayBuffer) => T) =>
					staging.read(to, bytes, use);
			};
			// At least a word, so that a step without rows is waited for too.
			const readWords = copy(all.results.buffer, 4 * Math.max(1, numWords));
			const readWhole = whole.map(({ buffer, rows }) =>
				copy(buffer, rows * rowBytes),
			);
			return async () => {
				const rows: Float32Array[] = [];
				for (const read of readWhole) {
					const floats = await read((data) => new Float32Array(data.slice(0)));
					for (let at = 0; at < floats.length; at += rowBytes / 4)
						rows.push(floats.subarray(at, at + vocabSize));
				}
				return readWords((data) =>
					outputOf(asked, new Uint32Array(data), (i) => rows[i], vocabSize),
				);
			};
		},
		destroy() {
			for (const buffer of Object.values(all)) buffer.destroy();
			for (const { uniform, whole } of slices) {
				uniform.destroy();
				whole?.destroy();
			}
			staging.destroy();
		},
	};
}

function needsOf(
	{ numSampleRows }: Asked,
	{ rows: { u32 }, editStart }: PackedRows,
	first: number,
	count: number,
): SliceNeeds {
	const last = Math.min(first + count, numSampleRows);
	const numSampling = Math.max(0, last - first);
	const firstEdit = numSampling > 0 ? editStart[first] : 0;
	const numEdits = numSampling > 0 ? editStart[last] - firstEdit : 0;
	let flags = 0;
	let undoes = false;
	let numWhole = 0;
	for (let r = first; r < first + count; r++) {
		const own = u32[ROW_WORDS * r + 2];
		flags |= own;
		if (u32[ROW_WORDS * r + 13] !== NONE) numWhole++;
		if (r < last && own & SCORES && editStart[r + 1] > editStart[r])
			undoes = true;
	}
	return {
		numSampling,
		filters: (flags & FILTERS) !== 0,
		scores: (flags & SCORES) !== 0,
		firstEdit,
		numEdits,
		undoes,
		numWhole,
	};
}
