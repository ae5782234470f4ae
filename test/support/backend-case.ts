/**
 * One case any backend is held against the reference with: a tiny random model of awkward sizes, steps of every mixture of decodes and
 * prefill chunks over scattered blocks, complete logit vectors compared. Knows no concrete backend but the reference, and no test
 * runner: a page in a browser runs the same cases. What does not hold throws.
 */
import assert from "node:assert/strict";
import type {
	Backend,
	Executable,
	Limits,
	StepInput,
	StepOutput,
	TensorDtype,
	WeightSource,
} from "../../src/backends/backend.ts";
import { kvBytesPerToken, type Program } from "../../src/backends/program.ts";
import { referenceBackend } from "../../src/backends/reference/backend.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { byRow, compareOutputs, type Tolerance } from "./backend-compare.ts";
import { StepWriter } from "./backend-steps.ts";
import { checkpoint, encode } from "./case-checkpoint.ts";
import { FEATURES } from "./feature-cases.ts";
import { featureProgram } from "./feature-program.ts";

/** Types of weights and cache, and how far from the reference a logprob may be with them. */
export interface BackendBounds extends Tolerance {
	readonly weights: TensorDtype;
	readonly cache: TensorDtype;
	/** What the backend makes of the weights before it uses them, as another checkpoint: the reference reads that one. */
	readonly asUsed?: (source: WeightSource) => WeightSource;
	/** Only every second model, to save time: the first, third … or the second, fourth … */
	readonly models?: "odd" | "even";
	/** Said in the tests' names beside the types. */
	readonly label?: string;
}

interface ModelCase {
	readonly hidden: number;
	readonly intermediate: number;
	readonly layers: number;
	readonly heads: number;
	readonly kvHeads: number;
	readonly headDim: number;
	readonly vocab: number;
	readonly blockSize: number;
	readonly bias?: boolean;
	readonly untied?: boolean;
	/** Every second layer looks back only this far. */
	readonly window?: number;
}

/** Sizes one under and over 4, 8, 16, 32, 64, 128; head sizes 2 to 128; groups 1 to 8. */
// biome-ignore format: a table
export const MODELS: readonly ModelCase[] = [
	{ hidden: 1, intermediate: 1, layers: 1, heads: 1, kvHeads: 1, headDim: 2, vocab: 2, blockSize: 1 },
	{ hidden: 7, intermediate: 5, layers: 2, heads: 2, kvHeads: 1, headDim: 6, vocab: 9, blockSize: 3 },
	{ hidden: 9, intermediate: 9, layers: 2, heads: 3, kvHeads: 1, headDim: 8, vocab: 17, blockSize: 3, window: 4 },
	{ hidden: 31, intermediate: 33, layers: 2, heads: 8, kvHeads: 2, headDim: 10, vocab: 33, blockSize: 16, bias: true, untied: true },
	{ hidden: 33, intermediate: 31, layers: 2, heads: 5, kvHeads: 1, headDim: 20, vocab: 65, blockSize: 1 },
	{ hidden: 65, intermediate: 129, layers: 2, heads: 6, kvHeads: 1, headDim: 24, vocab: 129, blockSize: 16, window: 33, untied: true },
	{ hidden: 64, intermediate: 96, layers: 2, heads: 7, kvHeads: 1, headDim: 4, vocab: 100, blockSize: 3, bias: true },
	{ hidden: 32, intermediate: 32, layers: 1, heads: 8, kvHeads: 1, headDim: 64, vocab: 31, blockSize: 16, untied: true },
	{ hidden: 129, intermediate: 257, layers: 2, heads: 2, kvHeads: 2, headDim: 128, vocab: 257, blockSize: 16 },
	{ hidden: 40, intermediate: 17, layers: 2, heads: 12, kvHeads: 4, headDim: 16, vocab: 513, blockSize: 3, bias: true, window: 1 },
];

/** Tokens of the steps of a case. */
const STEP_SIZES = [130, 1, 33, 2, 31, 5, 3, 4];
const LIMITS = { maxModelLen: 256, maxNumSeqs: 8, maxNumBatchedTokens: 130 };
/** Of all sequences together, a few more than the steps have. */
const NUM_TOKENS = 320;

interface Case {
	readonly program: Program;
	readonly vocab: number;
	readonly blockSize: number;
	readonly seed: number;
}

function caseOf(index: number): Case {
	const seed = 100 + index;
	if (index < MODELS.length) {
		const model = MODELS[index];
		return { ...model, program: programOf(model), seed };
	}
	const feature = FEATURES[index - MODELS.length];
	return { ...feature, program: featureProgram(feature), seed };
}

/**
 * Runs the steps of MODELS[index], or behind them of the FEATURES; `ahead`: and once more on a fresh executable, each submitted before the one before it is awaited.
 * @returns the largest difference of a logprob
 */
export async function runCase(
	backend: Backend,
	index: number,
	bound: BackendBounds,
	{ ahead }: { readonly ahead: boolean },
): Promise<number> {
	const { program, vocab, blockSize, seed } = caseOf(index);
	const source = () => checkpoint(program, bound.weights, seed);
	const used = (bound.asUsed ?? ((it) => it))(source());
	const limits = limitsOf(program, blockSize);
	const wanted = await referenceBackend.compile(program, used, {
		limits,
		kvCacheDtype: "auto",
	});
	const kvCacheDtype = bound.cache;
	const compile = () =>
		backend.compile(program, source(), { limits, kvCacheDtype });
	const executable = await compile();
	const numBlocks = Math.min(wanted.numBlocks, executable.numBlocks);
	const steps = new StepWriter({
		...LIMITS,
		vocab,
		blockSize,
		numBlocks,
		seed,
	});
	const history: { input: StepInput; output: StepOutput }[] = [];
	let worst = 0;
	try {
		for (const numTokens of STEP_SIZES) {
			const step = steps.next(numTokens);
			const want = await wanted.submit(step.input);
			const got = await submitAndScramble(executable, step.input);
			const where = `step ${history.length} of ${numTokens} tokens`;
			worst = Math.max(
				worst,
				compareOutputs(step, got, want, where, vocab, bound),
			);
			// Where the two disagree (two tokens nearly equal) nothing is carried.
			steps.sampled(
				Array.from(got.tokenIds, (id, r) =>
					id === want.tokenIds[r] && !got.failedRows.has(r) ? id : null,
				),
			);
			history.push({ input: step.input, output: got });
		}
	} finally {
		await executable.close();
	}
	if (ahead) await replayAhead(await compile(), history);
	return worst;
}

/** The steps of `history` give the same bits again. */
async function replayAhead(
	executable: Executable,
	history: readonly { input: StepInput; output: StepOutput }[],
): Promise<void> {
	try {
		let previous: Promise<StepOutput> | null = null;
		for (const [i, { input }] of history.entries()) {
			const next: Promise<StepOutput> = submitAndScramble(executable, input);
			if (previous !== null) same(await previous, history[i - 1].output, i - 1);
			previous = executable.overlaps ? next : null;
			if (previous === null) same(await next, history[i].output, i);
		}
		if (previous !== null) {
			const last = history.length - 1;
			same(await previous, history[last].output, last);
		}
	} finally {
		await executable.close();
	}
}

function same(got: StepOutput, want: StepOutput, step: number): void {
	assert.deepEqual(got, want, `step ${step}, submitted ahead`);
}

/** The arrays are the caller's again once submit returns: they are overwritten at once. */
function submitAndScramble(
	executable: Executable,
	input: StepInput,
): Promise<StepOutput> {
	const copy = structuredClone(input);
	const output = executable.submit(copy);
	const arrays = [...Object.values(copy), ...Object.values(copy.sampling)];
	for (const array of arrays) if (ArrayBuffer.isView(array)) scramble(array);
	copy.numTokens = copy.numRows = copy.numSampleRows = copy.numSeqs = 0;
	return output;
}

function scramble({ buffer, byteOffset, byteLength }: ArrayBufferView): void {
	new Uint8Array(buffer, byteOffset, byteLength).fill(0x55);
}

/** A model whose logits are all NaN: every row says so. */
export async function runNaNCase(
	backend: Backend,
	bound: BackendBounds,
): Promise<void> {
	const model = MODELS[5];
	const program = programOf(model);
	const source = checkpoint(program, bound.weights, 1);
	// As large as the type allows: the last norm's products overflow, with both signs.
	const broken: WeightSource = {
		...source,
		async read(name, start, end) {
			const bytes = await source.read(name, start, end);
			if (name !== "model.norm.weight") return bytes;
			return encode(new Float32Array(end - start).fill(3e38), "f32");
		},
		tensors: new Map(
			Array.from(source.tensors, ([name, info]) => [
				name,
				name === "model.norm.weight"
					? { ...info, dtype: "f32" as const }
					: info,
			]),
		),
	};
	const executable = await backend.compile(program, broken, {
		limits: limitsOf(program, model.blockSize),
		kvCacheDtype: bound.cache,
	});
	try {
		const { numBlocks } = executable;
		const steps = new StepWriter({ ...LIMITS, ...model, numBlocks, seed: 5 });
		for (const numTokens of [33, 130, 1]) {
			const { input } = steps.next(numTokens);
			const output = await executable.submit(structuredClone(input));
			const failed = Array.from({ length: input.numRows }, (_, r) => [
				r,
				"nan" as const,
			]);
			assert.deepEqual([...output.failedRows].sort(byRow), failed);
			const { logprobs } = output;
			assert.equal(logprobs?.tokenIds.length ?? 0, 0, "no entries for them");
		}
	} finally {
		await executable.close();
	}
}

export function describeTypes({
	weights,
	cache,
	label,
}: BackendBounds): string {
	return `${weights} weights${label ? ` as ${label}` : ""}, ${cache} cache`;
}

export function describeModel(index: number): string {
	if (index >= MODELS.length) return FEATURES[index - MODELS.length].name;
	const model = MODELS[index];
	const { hidden, intermediate, heads, kvHeads, headDim, vocab } = model;
	const rest = [
		model.bias ? ", bias" : "",
		model.untied ? ", untied" : "",
		model.window ? `, window ${model.window}` : "",
	].join("");
	return `${hidden} → ${intermediate}, ${heads}/${kvHeads} heads of ${headDim}, ${vocab} tokens, blocks of ${model.blockSize}${rest}`;
}

function programOf(model: ModelCase): Program {
	return buildProgram(
		parseModelConfig({
			architectures: ["Qwen3ForCausalLM"],
			vocab_size: model.vocab,
			hidden_size: model.hidden,
			intermediate_size: model.intermediate,
			num_hidden_layers: model.layers,
			num_attention_heads: model.heads,
			num_key_value_heads: model.kvHeads,
			head_dim: model.headDim,
			max_position_embeddings: LIMITS.maxModelLen,
			rope_theta: 10_000,
			attention_bias: model.bias ?? false,
			tie_word_embeddings: !model.untied,
			sliding_window: model.window ?? null,
			use_sliding_window: model.window !== undefined,
			layer_types: Array.from({ length: model.layers }, (_, i) =>
				i % 2 === 0 ? "sliding_attention" : "full_attention",
			),
		}),
	);
}

function limitsOf(program: Program, blockSize: number): Limits {
	const numBlocks = Math.ceil(NUM_TOKENS / blockSize) + 8;
	// Room for this many blocks whatever the backend pads them to.
	const kvCacheBytes = 16 * numBlocks * blockSize * kvBytesPerToken(program, 4);
	return { ...LIMITS, blockSize, kvCacheBytes, memoryUtilization: 1 };
}
