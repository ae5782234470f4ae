/** Prompts of a body → token ids, never longer than they may be before the tokenizer sees them. Knows no sampling. */
import type { ChatMessage } from "../index.ts";
import { badRequest } from "./api-error.ts";
import type { Message, TemplateBody, Tool } from "./chat-schema.ts";
import type { PromptBody } from "./completion-schema.ts";
import type { ServedEngine } from "./engine.ts";

export interface EncodedPrompt {
	/** null where token ids were given. */
	readonly text: string | null;
	readonly tokenIds: readonly number[];
}

export interface PromptReader {
	/** @throws ApiError 400 */
	text(
		text: string,
		addSpecialTokens: boolean,
		truncate?: number | null,
	): EncodedPrompt;
	list(
		prompt: PromptBody,
		addSpecialTokens: boolean,
		truncate?: number | null,
	): EncodedPrompt[];
	chat(
		body: TemplateBody,
		tools: readonly Tool[] | null,
		truncate?: number | null,
	): EncodedPrompt;
}

/** Short texts are never refused by their length. */
const ALWAYS_READ = 2 ** 16;

/**
 * No token stands for more characters than the longest of the vocabulary, so a text beyond `maxModelLen` of those cannot fit, and a
 * tokenizer need not spend seconds, while every other request waits, to say so.
 */
export function createPromptReader(engine: ServedEngine): PromptReader {
	let longestToken = 0;
	const maxLength = (): number => {
		if (longestToken === 0) longestToken = longestTokenOf(engine);
		return Math.max(ALWAYS_READ, engine.maxModelLen * longestToken);
	};
	const checkLength = (length: number, param: string) => {
		if (length <= maxLength()) return;
		throw badRequest(
			`${param} has ${length} characters, more than ${engine.maxModelLen} tokens of the model's context can stand for.`,
			param,
			"context_length_exceeded",
		);
	};
	const cut = (ids: readonly number[], truncate: number | null = null) => {
		if (truncate === null) return ids;
		const keep = truncate === -1 ? engine.maxModelLen - 1 : truncate;
		return keep === 0 ? [] : ids.slice(-keep);
	};
	const reader: PromptReader = {
		text(text, addSpecialTokens, truncate) {
			checkLength(text.length, "prompt");
			const ids = engine.tokenizer.encode(text, { addSpecialTokens });
			return { text, tokenIds: cut(ids, truncate) };
		},
		list(prompt, addSpecialTokens, truncate) {
			return asList(prompt).map((item) =>
				typeof item === "string"
					? reader.text(item, addSpecialTokens, truncate)
					: { text: null, tokenIds: cut(item, truncate) },
			);
		},
		chat(body, tools, truncate) {
			checkLength(sizeOf(body.messages), "messages");
			const text = render(engine, body, tools);
			checkLength(text.length, "messages");
			const addSpecialTokens = body.add_special_tokens ?? false;
			const ids = engine.tokenizer.encode(text, { addSpecialTokens });
			return { text, tokenIds: cut(ids, truncate) };
		},
	};
	return reader;
}

function longestTokenOf({ tokenizer }: ServedEngine): number {
	let longest = 1;
	for (let id = 0; id < tokenizer.vocabSize; id++)
		longest = Math.max(longest, tokenizer.token(id)?.length ?? 0);
	return longest;
}

function asList(prompt: PromptBody): (string | number[])[] {
	if (typeof prompt === "string") return [prompt];
	return typeof prompt[0] === "number"
		? [prompt as number[]]
		: (prompt as string[] | number[][]);
}

function sizeOf(messages: readonly Message[]): number {
	let size = 0;
	for (const { content } of messages)
		if (typeof content === "string") size += content.length;
		else for (const part of content ?? []) size += part.text?.length ?? 0;
	return size;
}

function render(
	engine: ServedEngine,
	body: TemplateBody,
	tools: readonly Tool[] | null,
): string {
	if (body.chat_template)
		throw badRequest(
			"this server renders with the model's own chat template only.",
			"chat_template",
		);
	const isContinued = body.continue_final_message ?? false;
	if (isContinued && body.add_generation_prompt)
		throw badRequest(
			"continue_final_message and add_generation_prompt exclude each other.",
			"continue_final_message",
		);
	const messages = body.messages.map(asTemplateMessage);
	const text = engine.renderChat(messages, {
		...body.chat_template_kwargs,
		addGenerationPrompt: !isContinued && (body.add_generation_prompt ?? true),
		tools: tools ?? undefined,
		documents: body.documents ?? undefined,
	});
	return isContinued ? cutAfterLast(text, messages) : text;
}

/** As templates know messages: the system speaks, not a developer; content is text; a call's arguments are a value. */
function asTemplateMessage(message: Message): ChatMessage {
	const { role, content, tool_calls: calls, ...rest } = message;
	return {
		...withoutNulls(rest),
		role: role === "developer" ? "system" : role,
		content:
			typeof content === "string" || !content
				? (content ?? "")
				: content.map(({ text, refusal }) => ({
						type: "text" as const,
						text: text ?? refusal ?? "",
					})),
		...(calls && calls.length > 0 && { tool_calls: calls.map(asTemplateCall) }),
	};
}

const withoutNulls = (fields: object): object =>
	Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== null));

function asTemplateCall(call: NonNullable<Message["tool_calls"]>[number]) {
	const { arguments: given } = call.function;
	if (typeof given !== "string") return call;
	let parsed: unknown = given === "" ? {} : given;
	try {
		if (given !== "") parsed = JSON.parse(given);
	} catch {
		// A model's own broken call comes back to it as it wrote it.
	}
	return { ...call, function: { ...call.function, arguments: parsed } };
}

/** The text up to the end of the last message's own words: what closes the turn is dropped. */
function cutAfterLast(text: string, messages: readonly ChatMessage[]): string {
	const { content } = messages[messages.length - 1];
	const words = (
		typeof content === "string"
			? content
			: (content ?? []).map((part) => part.text).join("\n")
	).trim();
	const at = text.lastIndexOf(words);
	if (words === "" || at === -1)
		throw badRequest(
			"continue_final_message wants a last message with text that the chat template writes as it is.",
			"continue_final_message",
		);
	return text.slice(0, at + words.length);
}
