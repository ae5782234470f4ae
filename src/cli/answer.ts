/** One answer of a chat, printed as it comes and timed. */
import type { SamplingParamsInput } from "../config.ts";
import type { ChatMessage, LLM, LoraRequest } from "../index.ts";
import { printable } from "./terminal.ts";

export interface Answer {
	readonly text: string;
	readonly numTokens: number;
	/** Prompt and answer; null where the answer was stopped. */
	readonly numContextTokens: number | null;
	/** Until the first token, and until the end; milliseconds. */
	readonly firstMs: number;
	readonly endMs: number;
	readonly end: "complete" | "length" | "stopped";
}

/** When `signal` aborts, what came so far is the answer. @throws as LLM.streamChat */
export async function streamAnswer(
	llm: LLM,
	messages: readonly ChatMessage[],
	params: SamplingParamsInput,
	loraRequest: LoraRequest | null,
	signal: AbortSignal,
): Promise<Answer> {
	const start = performance.now();
	const since = () => performance.now() - start;
	let text = "";
	let numTokens = 0;
	let firstMs = 0;
	let numContextTokens: number | null = null;
	let end: Answer["end"] = "complete";
	const deltas = llm.streamChat(messages, params, { signal, loraRequest });
	try {
		for (;;) {
			const { value, done } = await deltas.next();
			if (done) {
				numContextTokens = value.promptTokenIds.length + numTokens;
				break;
			}
			if (numTokens === 0) firstMs = since();
			numTokens += value.tokenIds.length;
			text += value.text;
			process.stdout.write(printable(value.text));
			if (value.finishReason === "length") end = "length";
		}
	} catch (error) {
		if (!signal.aborted) throw error;
		end = "stopped";
	}
	if (text !== "" || numTokens > 0) process.stdout.write("\n");
	const endMs = since();
	return { text, numTokens, numContextTokens, firstMs, endMs, end };
}
