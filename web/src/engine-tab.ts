/** An engine in this page. Loads the library where it is first used. */
import type { LLM, LoadOptions, ModelFiles } from "nano-vllm";
import type { AnswerDelta, AnswerToken, Engine, Sampling } from "./engine.ts";

/** @throws NanoVllmError as LLM.load */
export async function openTabEngine(
	model: string | ModelFiles,
	options: LoadOptions = {},
): Promise<Engine> {
	const { LLM } = await import("nano-vllm");
	return engineOf(await LLM.load(model, options));
}

/** Alternatives told per token. */
const NUM_LOGPROBS = 8;

function engineOf(llm: LLM): Engine {
	return {
		facts: {
			place: "tab",
			modelName: llm.modelName,
			device: llm.device,
			deviceReason: null,
			maxModelLen: llm.maxModelLen,
			hasChatTemplate: hasChatTemplate(llm),
			canPause: false,
		},
		streamChat: (messages, sampling, signal) =>
			deltas(
				llm.streamChat(
					messages.map((message) => ({ ...message })),
					{ ...sampling, logprobs: NUM_LOGPROBS },
					{ signal },
				),
			),
		streamText: (prompt, sampling: Sampling, signal) =>
			deltas(
				llm.stream(
					typeof prompt === "string" ? prompt : { promptTokenIds: [...prompt] },
					{ ...sampling, logprobs: NUM_LOGPROBS },
					{ signal },
				),
			),
		observe: () => () => {},
		pause: async () => {},
		resume: async () => {},
		step: async () => {},
		detokenize: async (ids) =>
			llm.tokenizer.decode([...ids], { skipSpecialTokens: false }),
		lost: new Promise(() => {}),
		close: () => llm.close(),
	};
}

function hasChatTemplate(llm: LLM): boolean {
	try {
		llm.renderChat([{ role: "user", content: "" }]);
		return true;
	} catch {
		return false;
	}
}

async function* deltas(
	stream: ReturnType<LLM["stream"]>,
): AsyncGenerator<AnswerDelta> {
	for await (const { text, tokenIds, logprobs, finishReason } of stream)
		yield {
			text,
			finishReason,
			tokens: (logprobs ?? []).map((entries, i): AnswerToken => {
				const chosen = entries.find(({ tokenId }) => tokenId === tokenIds[i]);
				return {
					text: chosen?.token ?? "",
					logprob: chosen?.logprob ?? null,
					alternatives: entries.map(({ token, logprob }) => ({
						text: token,
						logprob,
					})),
				};
			}),
		};
}
