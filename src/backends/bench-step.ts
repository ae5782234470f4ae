/** The step a kernel is timed in, as the engine would write it. Knows no device. */
import type { SamplingInput, StepInput } from "./backend.ts";
import type { SamplerShape } from "./kernel-bench.ts";

export interface BenchStep {
	/** Of all sequences together; equally many of each. */
	readonly numTokens: number;
	/** 0: tokens of no sequence. */
	readonly numSeqs: number;
	/** Of each sequence at its end. */
	readonly contextLen: number;
	/** null: no rows are sampled; else all. */
	readonly sampling: SamplerShape["sampling"];
}

/** Every token is 0; a sequence's last tokens are new, its blocks lie in any order. */
export function stepOf(one: BenchStep, blockSize: number): StepInput {
	const { numTokens, numSeqs, contextLen } = one;
	const numRows = one.sampling === null ? 0 : numTokens;
	const queries = numSeqs === 0 ? 0 : numTokens / numSeqs;
	const blocksPerSeq = Math.ceil(contextLen / blockSize);
	const upTo = (count: number, at: (i: number) => number) =>
		Int32Array.from({ length: count }, (_, i) => at(i));
	return {
		numTokens,
		numSeqs,
		numDecodes: queries === 1 ? numSeqs : 0,
		numRows,
		numSampleRows: numRows,
		tokenIds: new Int32Array(numTokens),
		positions: upTo(numTokens, (t) =>
			numSeqs === 0 ? t : contextLen - queries + (t % queries),
		),
		slotMapping: new Int32Array(numTokens),
		queryStart: upTo(numSeqs + 1, (s) => s * queries),
		contextLens: new Int32Array(numSeqs).fill(contextLen),
		blockTableStart: upTo(numSeqs + 1, (s) => s * blocksPerSeq),
		blockTables: shuffled(numSeqs * blocksPerSeq),
		logitRows: upTo(numRows, (r) => r),
		numCarried: 0,
		carryTo: new Int32Array(0),
		carryFrom: new Int32Array(0),
		adapterTokens: new Int32Array(0),
		adapterStart: new Int32Array(1),
		sampling: samplingOf(one, numRows),
	};
}

function samplingOf({ sampling }: BenchStep, numRows: number): SamplingInput {
	const none = new Int32Array(numRows + 1);
	const { temperature = 0, topK = 0, topP = 1 } = sampling ?? {};
	return {
		temperature: new Float32Array(numRows).fill(temperature),
		topK: new Int32Array(numRows).fill(topK),
		topP: new Float32Array(numRows).fill(topP),
		minP: new Float32Array(numRows),
		presencePenalty: new Float32Array(numRows),
		frequencyPenalty: new Float32Array(numRows),
		repetitionPenalty: new Float32Array(numRows).fill(1),
		seeds: Uint32Array.from({ length: 2 * numRows }, (_, i) => i),
		outputPosition: new Int32Array(numRows),
		historyStart: none,
		historyTokens: new Int32Array(0),
		historyPromptLen: new Int32Array(numRows),
		biasStart: none,
		biasTokens: new Int32Array(0),
		biasValues: new Float32Array(0),
		numMasks: 0,
		maskRows: new Int32Array(0),
		masks: new Uint32Array(0),
		logprobEntries: new Int32Array(numRows),
		scoredTokens: new Int32Array(0),
	};
}

/** 0..count-1 in an order that is the same every time and follows no pattern a prefetcher knows. */
function shuffled(count: number): Int32Array {
	const ids = Int32Array.from({ length: count }, (_, i) => i);
	let state = 1;
	for (let i = count - 1; i > 0; i--) {
		state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
		const j = state % (i + 1);
		[ids[i], ids[j]] = [ids[j], ids[i]];
	}
	return ids;
}
