/** Collects one request's tokens into the output a user sees: text, stop strings, logprobs, deltas. Knows tokenizers only as an interface. */
import type { SamplingParams } from "../config.ts";
import type { LogprobEntry, RequestMetrics, RequestSink } from "./request.ts";
import type { FinishReason, Sequence } from "./sequence.ts";
import { createStopMatcher, type StopMatcher } from "./stop-strings.ts";

/** One token of a logprobs list. `token`: the text the token stands for; "" without a tokenizer. */
export interface TokenLogprob extends LogprobEntry {
	readonly token: string;
}

export interface CompletionOutput {
	readonly index: number;
	readonly text: string;
	/** Every token sampled, a stop token included. */
	readonly tokenIds: number[];
	/** Σ log p of the tokens; null unless logprobs were asked for. */
	readonly cumulativeLogprob: number | null;
	/** Per token, best first, the chosen one always among them. */
	readonly logprobs: TokenLogprob[][] | null;
	readonly finishReason: FinishReason;
	readonly stopReason: number | string | null;
}

export interface RequestOutput {
	readonly requestId: string;
	/** null where the prompt was given as token ids. */
	readonly prompt: string | null;
	readonly promptTokenIds: number[];
	/** Per prompt token, null for the first. */
	readonly promptLogprobs: (TokenLogprob[] | null)[] | null;
	/** Prompt tokens served from the prefix cache. */
	readonly numCachedTokens: number;
	readonly metrics: RequestMetrics;
	readonly outputs: CompletionOutput[];
}

/** What one step adds to one output. */
export interface CompletionDelta {
	readonly requestId: string;
	readonly index: number;
	readonly text: string;
	readonly tokenIds: number[];
	readonly logprobs: TokenLogprob[][] | null;
	/** null until the last delta of this index. */
	readonly finishReason: FinishReason | null;
	readonly stopReason: number | string | null;
}

/** Text of one output, token by token. */
export interface TextStream {
	push(tokenId: number): string;
	/** What is left: bytes that never became a character. */
	finish(): string;
}

export interface CollectorOptions {
	readonly requestId: string;
	readonly params: SamplingParams;
	/** null: no text is made. */
	readonly createTextStream: (() => TextStream) | null;
	readonly tokenText: (tokenId: number) => string;
	readonly onDelta?: (delta: CompletionDelta) => void;
	readonly onDone: (
		result: Pick<
			RequestOutput,
			"promptLogprobs" | "numCachedTokens" | "outputs"
		>,
	) => void;
	readonly onError: (error: Error) => void;
}

interface Growing {
	text: string;
	readonly tokenIds: number[];
	readonly logprobs: TokenLogprob[][];
	cumulativeLogprob: number;
	readonly stream: TextStream | null;
	readonly stops: StopMatcher;
}

export function createCollector(options: CollectorOptions): RequestSink {
	const { params, requestId } = options;
	const growing: Growing[] = Array.from({ length: params.n }, () => ({
		text: "",
		tokenIds: [],
		logprobs: [],
		cumulativeLogprob: 0,
		stream: options.createTextStream?.() ?? null,
		stops: createStopMatcher(params.stop, params.includeStopStrInOutput),
	}));
	const outputs: CompletionOutput[] = new Array(params.n);
	const promptLogprobs: (TokenLogprob[] | null)[] = [null];
	let numFinished = 0;
	let numCachedTokens = 0;
	let failure: Error | null = null;

	const named = (entries: readonly LogprobEntry[]): TokenLogprob[] =>
		bestFirst(entries).map((entry) => ({
			...entry,
			token: options.tokenText(entry.tokenId),
		}));

	const finish = (
		seq: Sequence,
		reason: FinishReason,
		stopReason: number | string | null,
	) => {
		const output = growing[seq.index];
		// A stop string cut the text where it ends; otherwise what was held back belongs to it.
		const cut = typeof stopReason === "string";
		const text = cut
			? ""
			: output.stops.flush() + (output.stream?.finish() ?? "");
		const wantsLogprobs = params.logprobs !== null;
		outputs[seq.index] = {
			index: seq.index,
			text: output.text + text,
			tokenIds: output.tokenIds,
			cumulativeLogprob: wantsLogprobs ? output.cumulativeLogprob : null,
			logprobs: wantsLogprobs ? output.logprobs : null,
			finishReason: reason,
			stopReason,
		};
		options.onDelta?.({
			requestId,
			index: seq.index,
			text,
			tokenIds: [],
			logprobs: wantsLogprobs ? [] : null,
			finishReason: reason,
			stopReason,
		});
	};

	return {
		onToken(seq, tokenId, isStop, entries) {
			const output = growing[seq.index];
			output.tokenIds.push(tokenId);
			const logprobs = entries === null ? null : [named(entries)];
			if (entries !== null && logprobs !== null) {
				output.logprobs.push(logprobs[0]);
				output.cumulativeLogprob += entries[0].logprob;
			}
			const { text, stop } = nextText(output, params, tokenId, isStop);
			output.text += text;
			options.onDelta?.({
				requestId,
				index: seq.index,
				text,
				tokenIds: [tokenId],
				logprobs,
				finishReason: null,
				stopReason: null,
			});
			return stop;
		},
		onPromptLogprobs(position, entries) {
			promptLogprobs[position] = named(entries);
		},
		onFinish(seq) {
			if (seq.index === 0) numCachedTokens = seq.numCachedTokens ?? 0;
			if (seq.status.kind === "failed") failure ??= seq.status.error;
			else if (seq.status.kind === "finished")
				finish(seq, seq.status.reason, seq.status.stopReason);
			if (++numFinished < params.n) return;
			if (failure !== null) options.onError(failure);
			else
				options.onDone({
					promptLogprobs:
						params.promptLogprobs === null ? null : promptLogprobs,
					numCachedTokens,
					outputs,
				});
		},
	};
}

/** The text a token adds. Stop tokens are not text unless wanted; no stop string ends in the first minTokens tokens. */
function nextText(
	{ stream, stops, tokenIds }: Growing,
	params: SamplingParams,
	tokenId: number,
	isStop: boolean,
): { text: string; stop: string | null } {
	if (stream === null || (isStop && !params.includeStopStrInOutput))
		return { text: "", stop: null };
	return stops.push(stream.push(tokenId), tokenIds.length > params.minTokens);
}

/** The engine's entries begin with the chosen token, which may stand among the best again. */
function bestFirst(entries: readonly LogprobEntry[]): readonly LogprobEntry[] {
	const [chosen, ...best] = entries;
	if (best.some((entry) => entry.tokenId === chosen.tokenId)) return best;
	return [...best, chosen].sort((a, b) => b.logprob - a.logprob);
}
