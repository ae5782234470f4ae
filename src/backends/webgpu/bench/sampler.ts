/** The sampler alone, over logits that are there: as in a step, those of few rows lie in the device's cache. */
import { type BenchStep, stepOf } from "../../bench-step.ts";
import {
	SAMPLER_SHAPES,
	type SamplerShape,
	VOCAB_SIZE,
} from "../../kernel-bench.ts";
import { BYTES, stride } from "../layout.ts";
import { createSampler } from "../sampler.ts";
import type { KernelCase } from "./case.ts";
import type { Room } from "./room.ts";

/** Besides as many rows as on every device. */
const MANY_ROWS = 256;

export const samplerCases = (): KernelCase[] =>
	SAMPLER_SHAPES.flatMap((shape) =>
		shape.sampling === null
			? []
			: [shape, { ...shape, numRows: MANY_ROWS }].map(samplerCase),
	);

function samplerCase({ name, numRows, sampling }: SamplerShape): KernelCase {
	return {
		name,
		format: "f32",
		numTokens: numRows,
		macs: 0,
		bytes: numRows * VOCAB_SIZE * BYTES.f32,
		open: (room) =>
			open(room, { numTokens: numRows, numSeqs: 0, contextLen: 0, sampling }),
	};
}

async function open(room: Room, step: BenchStep) {
	const { gpu, compile } = room;
	const { numTokens } = step;
	const sampler = await createSampler(gpu, compile, {
		vocabSize: VOCAB_SIZE,
		logits: room.noise(numTokens * stride(VOCAB_SIZE) * BYTES.f32),
		sliceRows: numTokens,
		limits: { maxNumSeqs: numTokens, maxNumBatchedTokens: numTokens },
	});
	room.onClear(() => sampler.destroy());
	const input = stepOf(step, 1);
	return {
		peak: "float" as const,
		encode(pass: GPUComputePassEncoder) {
			// The words of a step reach the device before the pass: all rounds are the same step, and nobody reads what it samples.
			sampler.write(input);
			sampler.encode(pass, 0, numTokens);
		},
	};
}
