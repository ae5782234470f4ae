/** Random steps over a few sequences that grow and end, written by hand: what the engine could submit, and more. Knows no backend. */
import assert from "node:assert/strict";
import type { SamplingInput, StepInput } from "../../src/backends/backend.ts";
import { type RandomSource, randomSource } from "./random.ts";

/** Asks for the whole vocabulary. */
const ALL_ENTRIES = 2 ** 31 - 1;
const MAX_SEQUENCES = 6;

export interface StepWriterOptions {
	readonly vocab: number;
	readonly blockSize: number;
	readonly numBlocks: number;
	readonly maxModelLen: number;
	readonly seed: number;
}

export interface WrittenStep {
	readonly input: StepInput;
	/** Of every row, for messages. */
	readonly labels: readonly string[];
	/** Of every sampling row: the id of the token the step was not told. */
	readonly carried: readonly (number | null)[];
}

interface SequenceState {
	readonly name: string;
	/** All tokens in the cache once the step last written has run. */
	readonly tokens: number[];
	readonly blocks: number[];
	/** What it sampled in the step before, if anything: its next token may be carried from there. */
	sampled: { readonly row: number; readonly tokenId: number } | null;
}

/** `numTokens` tokens of a sequence in one step; the last tokens it has. */
interface Chunk {
	readonly seq: SequenceState;
	readonly numTokens: number;
	readonly carried: number | null;
}

/** A token of a step that gets logits. */
interface Row {
	readonly chunk: Chunk;
	readonly token: number;
}

export class StepWriter {
	readonly #options: StepWriterOptions;
	readonly #random: RandomSource;
	#freeBlocks: number[];
	#sequences: SequenceState[] = [];
	#numSequences = 0;
	#sampling: readonly Row[] = [];

	constructor(options: StepWriterOptions) {
		this.#options = options;
		this.#random = randomSource(options.seed);
		const blocks = Array.from({ length: options.numBlocks }, (_, i) => i);
		this.#freeBlocks = this.#random.shuffled(blocks);
	}

	/** To be told after each step: what its rows sampled, null where nothing may be carried. */
	sampled(tokenIds: readonly (number | null)[]): void {
		for (const [row, { chunk }] of this.#sampling.entries()) {
			const tokenId = tokenIds[row];
			chunk.seq.sampled = tokenId === null ? null : { row, tokenId };
		}
	}

	next(numTokens: number): WrittenStep {
		this.#endOne();
		const carryTo: number[] = [];
		const carryFrom: number[] = [];
		const tokenIds: number[] = [];
		const chunks = this.#divide(numTokens).map(([seq, n]): Chunk => {
			const ids = Array.from({ length: n }, () => this.#token());
			const carries = n === 1 ? seq.sampled : null;
			if (carries !== null) {
				carryTo.push(tokenIds.length);
				carryFrom.push(carries.row);
				ids[0] = carries.tokenId;
			}
			seq.tokens.push(...ids);
			this.#grow(seq);
			tokenIds.push(...(carries === null ? ids : [0]));
			return { seq, numTokens: n, carried: carries?.tokenId ?? null };
		});
		for (const seq of this.#sequences) seq.sampled = null;

		const { blockSize } = this.#options;
		const positions = chunks.flatMap(({ seq, numTokens: n }) =>
			Array.from({ length: n }, (_, i) => seq.tokens.length - n + i),
		);
		const owners = chunks.flatMap((c) => new Array<Chunk>(c.numTokens).fill(c));
		const slots = positions.map((p, t) => {
			const block = owners[t].seq.blocks[Math.floor(p / blockSize)];
			return block * blockSize + (p % blockSize);
		});
		const queryStart = startsOf(chunks.map((chunk) => chunk.numTokens));
		const { sampling, scoring } = this.#rows(chunks, queryStart);
		const rows = [...sampling, ...scoring];
		this.#sampling = sampling;
		const input: StepInput = {
			numTokens,
			numSeqs: chunks.length,
			numDecodes: chunks.filter(isDecode).length,
			numRows: rows.length,
			numSampleRows: sampling.length,
			tokenIds: ints(tokenIds),
			positions: ints(positions),
			slotMapping: ints(slots),
			queryStart: ints(queryStart),
			contextLens: ints(chunks.map(({ seq }) => seq.tokens.length)),
			blockTableStart: ints(startsOf(chunks.map((c) => c.seq.blocks.length))),
			blockTables: ints(chunks.flatMap(({ seq }) => seq.blocks)),
			logitRows: ints(rows.map(({ token }) => token)),
			numCarried: carryTo.length,
			carryTo: ints(carryTo),
			carryFrom: ints(carryFrom),
			adapterTokens: ints([]),
			adapterStart: ints([0]),
			sampling: this.#samplingInput(sampling, scoring.length),
		};
		const labels = rows.map(
			({ chunk, token }, r) =>
				`row ${r} (${r < sampling.length ? "samples" : "scores"}; ${chunk.seq.name}, position ${positions[token]})`,
		);
		return {
			input,
			labels,
			carried: sampling.map(({ chunk }) => chunk.carried),
		};
	}

	/** Now and then a sequence ends, and others take its blocks. */
	#endOne(): void {
		if (this.#sequences.length < 3 || this.#random.uniform() < 0.7) return;
		const [seq, ...others] = this.#random.shuffled(this.#sequences);
		this.#sequences = others;
		this.#freeBlocks = this.#random.shuffled([
			...this.#freeBlocks,
			...seq.blocks,
		]);
	}

	/** Decodes first, then chunks of sequences that go on or are new. */
	#divide(numTokens: number): [SequenceState, number][] {
		const running = this.#random
			.shuffled(this.#sequences)
			.filter(({ tokens }) => tokens.length < this.#options.maxModelLen);
		const most = Math.min(running.length, numTokens);
		const wanted = numTokens <= 5 ? most : this.#random.below(most + 1);
		const isFull = () => this.#sequences.length >= MAX_SEQUENCES;
		// Where none may be new, one goes on in a chunk.
		const isAll = wanted === running.length && wanted < numTokens;
		const numDecodes = isFull() && isAll ? wanted - 1 : wanted;
		const decodes = running
			.slice(0, numDecodes)
			.map((seq): [SequenceState, number] => [seq, 1]);
		const waiting = running.slice(numDecodes);
		const chunks: [SequenceState, number][] = [];
		for (let left = numTokens - numDecodes; left > 0; ) {
			const isNew = !isFull() && this.#random.uniform() < 0.6;
			const seq = (isNew ? null : waiting.pop()) ?? this.#newSequence();
			const isOnly = waiting.length === 0 && isFull();
			const isLast = chunks.length === 3 || left < 4 || isOnly;
			const n = isLast ? left : 1 + this.#random.below(left);
			chunks.push([seq, n]);
			left -= n;
		}
		return [...decodes, ...chunks];
	}

	#newSequence(): SequenceState {
		const name = `sequence ${this.#numSequences++}`;
		const seq = { name, tokens: [], blocks: [], sampled: null };
		this.#sequences.push(seq);
		return seq;
	}

	#grow(seq: SequenceState): void {
		while (seq.blocks.length * this.#options.blockSize < seq.tokens.length) {
			const block = this.#freeBlocks.pop();
			assert(block !== undefined, "the cases have blocks enough");
			seq.blocks.push(block);
		}
	}

	/** Most last tokens sample; of the others many are scored, in large steps all. */
	#rows(chunks: readonly Chunk[], queryStart: readonly number[]) {
		const sampling: Row[] = [];
		const scoring: Row[] = [];
		const numTokens = queryStart[chunks.length];
		for (const [s, chunk] of chunks.entries()) {
			const last = queryStart[s + 1] - 1;
			if (chunk.numTokens === 1 || this.#random.uniform() < 0.7)
				sampling.push({ chunk, token: last });
			for (let token = queryStart[s]; token < last; token++)
				if (numTokens > 64 || this.#random.uniform() < 0.5)
					scoring.push({ chunk, token });
		}
		return { sampling, scoring };
	}

	#samplingInput(rows: readonly Row[], numScored: number): SamplingInput {
		const kinds = rows.map(() => KINDS[this.#random.below(KINDS.length)]);
		const histories = rows.map(({ chunk }, r) => {
			const { tokens } = chunk.seq;
			if (kinds[r] !== "penalised") return [];
			return chunk.carried === null ? tokens : tokens.slice(0, -1);
		});
		const forced = kinds.filter((kind) => kind === "forced");
		const { maskRows, masks } = this.#masks(kinds);
		const perRow = (of: Partial<Record<Kind, number>>, otherwise: number) =>
			Float32Array.from(kinds, (kind) => of[kind] ?? otherwise);
		return {
			temperature: perRow({ drawn: 1, filtered: 0.7, hot: 1.5 }, 0),
			topK: Int32Array.from(perRow({ filtered: 5 }, 0)),
			topP: perRow({ filtered: 0.9 }, 1),
			minP: perRow({ hot: 0.01 }, 0),
			// Large and negative: the row takes the token most frequent in its output, or the carried one where that is all there is.
			presencePenalty: perRow({ penalised: -3 }, 0),
			frequencyPenalty: perRow({ penalised: -400 }, 0),
			repetitionPenalty: perRow({}, 1),
			seeds: Uint32Array.from({ length: 2 * rows.length }, () =>
				this.#random.below(2 ** 32),
			),
			outputPosition: ints(rows.map(({ chunk }) => chunk.seq.tokens.length)),
			historyStart: ints(startsOf(histories.map(({ length }) => length))),
			historyTokens: ints(histories.flat()),
			historyPromptLen: ints(
				histories.map(({ length }, r) =>
					rows[r].chunk.carried === null ? length >> 1 : length,
				),
			),
			biasStart: ints(startsOf(kinds.map((kind) => +(kind === "forced")))),
			biasTokens: ints(forced.map(() => this.#token())),
			biasValues: new Float32Array(forced.length).fill(1000),
			numMasks: maskRows.length,
			maskRows: ints(maskRows),
			masks,
			logprobEntries: ints(
				Array.from({ length: rows.length + numScored }, (_, r) =>
					this.#random.uniform() < (r < rows.length ? 0.9 : 0.4)
						? ALL_ENTRIES
						: this.#random.below(4),
				),
			),
			scoredTokens: ints(
				Array.from({ length: numScored }, () => this.#token()),
			),
		};
	}

	/** Three tokens for masked rows, none for forbidden ones. */
	#masks(kinds: readonly Kind[]) {
		const words = Math.ceil(this.#options.vocab / 32);
		const maskRows = [...kinds.keys()].filter(
			(r) => kinds[r] === "masked" || kinds[r] === "forbidden",
		);
		const masks = new Uint32Array(maskRows.length * words);
		for (const [m, row] of maskRows.entries()) {
			for (let i = 0; i < 3 && kinds[row] === "masked"; i++) {
				const id = this.#token();
				masks[m * words + (id >>> 5)] |= 1 << (id & 31);
			}
		}
		return { maskRows, masks };
	}

	#token(): number {
		return this.#random.below(this.#options.vocab);
	}
}

/** What a sampling row asks for. */
const KINDS = [
	"greedy",
	"greedy",
	"forced",
	"drawn",
	"filtered",
	"hot",
	"penalised",
	"masked",
	"forbidden",
] as const;
type Kind = (typeof KINDS)[number];

const isDecode = ({ seq, numTokens }: Chunk) =>
	numTokens === 1 && seq.tokens.length > 1;

/** [0, a, a + b, …] */
function startsOf(lengths: readonly number[]): number[] {
	const starts = [0];
	for (const length of lengths) starts.push(starts[starts.length - 1] + length);
	return starts;
}

/** With something behind the end that means nothing. */
function ints(values: readonly number[]): Int32Array {
	return Int32Array.from([...values, 123_456_789, -7]);
}
