/** Chunks of OpenAI's streams → what they add to an answer. Thoughts that a server tells apart come back between <think> and </think>. */
import type { AnswerDelta, AnswerToken } from "./engine.ts";
import { ServerError } from "./server-api.ts";

interface ChatToken {
	readonly token: string;
	readonly logprob: number;
}

interface Choice {
	readonly text?: string | null;
	readonly delta?: {
		readonly content?: string | null;
		readonly reasoning_content?: string | null;
		readonly reasoning?: string | null;
	};
	readonly finish_reason?: string | null;
	readonly logprobs?: {
		/** Of a chat. */
		readonly content?:
			| readonly (ChatToken & { readonly top_logprobs?: ChatToken[] })[]
			| null;
		/** Of a completion. */
		readonly tokens?: readonly string[];
		readonly token_logprobs?: readonly (number | null)[];
		readonly top_logprobs?: readonly (Record<string, number> | null)[] | null;
	} | null;
}

interface Chunk {
	readonly choices?: readonly Choice[];
	readonly error?: { readonly message?: string };
}

/** @throws ServerError where the server gives up within its stream */
export async function* answerDeltas(
	chunks: AsyncIterable<unknown>,
): AsyncGenerator<AnswerDelta, void, void> {
	let isThinking = false;
	let hasEnded = false;
	for await (const chunk of chunks as AsyncIterable<Chunk>) {
		if (chunk.error)
			throw new ServerError(null, chunk.error.message ?? "the server failed.");
		const choice = chunk.choices?.[0];
		if (choice === undefined) continue;
		const thought =
			choice.delta?.reasoning_content ?? choice.delta?.reasoning ?? "";
		const said = choice.delta?.content ?? choice.text ?? "";
		let text = thought;
		if (thought !== "" && !isThinking) text = `<think>\n${thought}`;
		isThinking ||= thought !== "";
		if (isThinking && said !== "") {
			text += "\n</think>\n\n";
			isThinking = false;
		}
		text += said;
		const tokens = tokensOf(choice);
		const finishReason = finishReasonOf(choice.finish_reason);
		hasEnded ||= finishReason !== null;
		if (text !== "" || tokens.length > 0 || finishReason !== null)
			yield { text, tokens, finishReason };
	}
	if (!hasEnded)
		throw new ServerError(
			null,
			"the server's answer was cut off. Ask again; if it stays so, look at the server's log.",
		);
}

function finishReasonOf(
	reason: string | null | undefined,
): AnswerDelta["finishReason"] {
	if (reason === null || reason === undefined) return null;
	return reason === "length" || reason === "abort" ? reason : "stop";
}

function tokensOf({ logprobs }: Choice): AnswerToken[] {
	if (logprobs?.content)
		return logprobs.content.map(({ token, logprob, top_logprobs = [] }) => ({
			text: token,
			logprob,
			alternatives: top_logprobs
				.filter((it) => it.token !== token)
				.map((it) => ({ text: it.token, logprob: it.logprob })),
		}));
	const { tokens = [], token_logprobs = [], top_logprobs } = logprobs ?? {};
	return tokens.map((text, i) => ({
		text,
		logprob: token_logprobs[i] ?? null,
		alternatives: Object.entries(top_logprobs?.[i] ?? {})
			.filter(([other]) => other !== text)
			.map(([other, logprob]) => ({ text: other, logprob }))
			.sort((a, b) => b.logprob - a.logprob),
	}));
}
