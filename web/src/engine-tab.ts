/** The engine of this tab: a model in a worker of the page. Behind the interface every page uses; see engine.ts. */
import type {
	CompletionDelta,
	LoadOptions,
	SamplingParamsInput,
	TokenLogprob,
} from "nano-vllm";
import { type FileMap, WorkerLLM } from "../../src/browser.ts";
import type {
	AnswerDelta,
	AnswerToken,
	Engine,
	EngineSettings,
	Sampling,
} from "./engine.ts";

export type TabEngineOptions = EngineSettings &
	Pick<
		LoadOptions,
		"device" | "quantization" | "dtype" | "threads" | "signal" | "onProgress"
	>;

/** What else a token might have been: so many. */
const NUM_ALTERNATIVES = 5;

/**
 * @param model a URL of a folder or a *.gguf, an id of the hub, or files that were dropped
 * @throws what LLM.load does, and worker_lost
 */
export async function loadTabEngine(
	model: string | FileMap,
	options: TabEngineOptions = {},
): Promise<Engine> {
	const llm = await WorkerLLM.load(model, options);
	const reason = llm.lost.then(({ message }) => message);
	return {
		facts: {
			place: "tab",
			modelName: llm.modelName,
			device: llm.device,
			deviceReason: llm.deviceReason,
			maxModelLen: llm.maxModelLen,
			hasChatTemplate: llm.hasChatTemplate,
			canPause: true,
		},
		streamChat(messages, sampling, signal) {
			const params = paramsOf(llm, sampling, NUM_ALTERNATIVES);
			const plain = messages.map((message) => ({ ...message }));
			return answers(llm.streamChat(plain, params, { signal }));
		},
		streamText(prompt, { ignoreEos = false, ...sampling }, signal) {
			// Who wants a number of tokens whatever they are is measuring.
			const numAlternatives = ignoreEos ? 0 : NUM_ALTERNATIVES;
			const params = paramsOf(llm, sampling, numAlternatives);
			const given =
				typeof prompt === "string" ? prompt : { promptTokenIds: prompt };
			return answers(llm.stream(given, { ...params, ignoreEos }, { signal }));
		},
		observe(listener, onEnd) {
			let isOver = false;
			const stop = llm.observe(listener);
			void reason.then((why) => {
				if (!isOver) onEnd(why);
			});
			return () => {
				isOver = true;
				stop();
			};
		},
		pause: () => llm.pause(),
		resume: () => llm.resume(),
		step: () => llm.step(),
		detokenize: (tokenIds) =>
			llm.tokenizer.decode(tokenIds, { skipSpecialTokens: false }),
		lost: reason,
		close: () => llm.close(),
	};
}

/** What the controls say over what the model's authors advise; as long as there is room where nobody says. */
function paramsOf(
	{ defaultSamplingParams }: WorkerLLM,
	sampling: Sampling,
	numAlternatives: number,
): SamplingParamsInput {
	const said = Object.entries(sampling).filter(([, v]) => v !== undefined);
	return {
		maxTokens: null,
		...defaultSamplingParams,
		...Object.fromEntries(said),
		logprobs: numAlternatives,
	};
}

async function* answers(
	deltas: AsyncIterable<CompletionDelta>,
): AsyncGenerator<AnswerDelta, void, void> {
	for await (const { text, tokenIds, logprobs, finishReason } of deltas)
		yield {
			text,
			tokens: tokenIds.map((id, i) => tokenOf(id, logprobs?.[i] ?? [])),
			finishReason,
		};
}

function tokenOf(id: number, entries: readonly TokenLogprob[]): AnswerToken {
	const chosen = entries.find(({ tokenId }) => tokenId === id);
	const others = entries.filter(({ tokenId }) => tokenId !== id);
	return {
		text: chosen?.token ?? "",
		logprob: chosen?.logprob ?? null,
		alternatives: others
			.slice(0, NUM_ALTERNATIVES)
			.map(({ token, logprob }) => ({ text: token, logprob })),
	};
}
