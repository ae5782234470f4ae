/** A chat's body → what the engine is to do, and how to read what it says: prompt, sampling, tools, reasoning. Knows no answer's form. */
import type { FinishReason, Thought } from "../index.ts";
import { loraRequestOf } from "./adapters.ts";
import { type AnswerParser, createPlainParser } from "./answer-pieces.ts";
import { badRequest } from "./api-error.ts";
import type { ChatBody, Tool } from "./chat-schema.ts";
import type { ServedEngine } from "./engine.ts";
import type { Services } from "./generation.ts";
import type { LogprobStyle } from "./logprobs.ts";
import type { ServerOptions } from "./options.ts";
import type { EncodedPrompt } from "./prompts.ts";
import {
	CLOSE,
	createReasoningParser,
	endsBehindThought,
	endsInThought,
	OPEN,
} from "./reasoning.ts";
import type { Task } from "./run.ts";
import {
	checkRoom,
	formFieldOf,
	type StructuredOutputs,
	samplingParams,
} from "./sampling.ts";
import {
	createHermesParser,
	createJsonCallsParser,
	createNamedCallParser,
	MARKERS,
} from "./tool-call-parsers.ts";

export interface ChatPlan {
	readonly prompt: EncodedPrompt;
	readonly task: Task;
	/** null where none are asked for. */
	readonly logprobs: LogprobStyle | null;
	createParser(): AnswerParser;
	finishReason(reason: FinishReason, numCalls: number): string;
}

/** How calls of tools come about in one request. */
type ToolMode =
	| { readonly kind: "off" }
	| { readonly kind: "auto" }
	| { readonly kind: "required"; readonly tools: readonly Tool[] }
	| { readonly kind: "named"; readonly tool: Tool };

/** @param format what the endpoint calls response_format. @throws ApiError 400; NanoVllmError of prompts */
export function planChat(
	body: ChatBody,
	services: Services,
	format = "response_format",
): ChatPlan {
	const { engine, options, prompts } = services;
	const mode = toolMode(body, options);
	const tools = mode.kind === "off" ? null : (body.tools ?? null);
	const prompt = prompts.chat(body, tools, body.truncate_prompt_tokens);
	const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? null;
	checkRoom(prompt.tokenIds.length, maxTokens, engine.maxModelLen, "messages");
	const logprobs = logprobStyle(body);
	const forced = forcedCall(mode);
	const formField = forced ? "tools" : formFieldOf(body, format);
	const params = samplingParams(body, engine, {
		maxTokens: maxTokens ?? engine.defaultSamplingParams.maxTokens ?? null,
		logprobs: logprobs?.count,
		skipSpecialTokens: body.skip_special_tokens ?? keepsMarkers(mode, services),
		structuredOutputs: forced,
	});
	return {
		prompt,
		task: {
			promptTokenIds: prompt.tokenIds,
			params,
			priority: body.priority ?? undefined,
			cacheSalt: body.cache_salt ?? null,
			thought: params.structuredOutputs
				? thoughtBefore(prompt, body, services, formField)
				: null,
			formField,
			loraRequest: loraRequestOf(services, body.model),
		},
		logprobs,
		createParser: () => createParser(body, mode, options, prompt),
		finishReason: (reason, numCalls) =>
			reason === "stop" && numCalls > 0 && mode.kind !== "named"
				? "tool_calls"
				: reason,
	};
}

function toolMode(body: ChatBody, options: ServerOptions): ToolMode {
	const tools = body.tools ?? [];
	const choice = body.tool_choice ?? (tools.length > 0 ? "auto" : "none");
	if (choice === "none") return { kind: "off" };
	if (tools.length === 0) {
		if (choice === "auto") return { kind: "off" };
		throw badRequest("tool_choice wants tools to choose from.", "tool_choice");
	}
	if (choice === "required") return { kind: "required", tools };
	if (choice === "auto") {
		if (options.enableAutoToolChoice) return { kind: "auto" };
		throw badRequest(
			'"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set.',
			"tool_choice",
		);
	}
	const { name } = choice.function;
	const tool = tools.find((each) => each.function.name === name);
	if (tool !== undefined) return { kind: "named", tool };
	throw badRequest(
		`tool_choice names ${JSON.stringify(name)}, which is not among the tools.`,
		"tool_choice",
	);
}

const ANY_OBJECT = { type: "object" };

/** The grammar that a request's tool_choice comes to. */
function forcedCall(mode: ToolMode): StructuredOutputs | undefined {
	if (mode.kind === "named")
		return { json: mode.tool.function.parameters ?? ANY_OBJECT };
	if (mode.kind !== "required") return undefined;
	const anyOf = mode.tools.map(({ function: { name, parameters } }) => ({
		type: "object",
		properties: {
			name: { enum: [name] },
			parameters: parameters ?? ANY_OBJECT,
		},
		required: ["name", "parameters"],
		additionalProperties: false,
	}));
	return { json: { type: "array", minItems: 1, items: { anyOf } } };
}

/**
 * The thought the answer may begin with; null where none will come. A tokenizer without the marks has them in pieces, which no answer
 * in the wanted form begins with. @throws ApiError 400 where the template has begun a thought that then nothing would end
 */
function thoughtBefore(
	{ text }: EncodedPrompt,
	body: ChatBody,
	{ engine, options }: Services,
	formField: string,
): Thought | null {
	const prompt = text ?? "";
	if (options.reasoningParser === null || endsBehindThought(prompt))
		return null;
	const openTokenId = logitOf(engine, OPEN);
	const closeTokenId = logitOf(engine, CLOSE);
	const isOpen = endsInThought(prompt, begunAnswer(body));
	if (openTokenId !== undefined && closeTokenId !== undefined)
		return { openTokenId, closeTokenId, isOpen };
	if (!isOpen) return null;
	throw badRequest(
		`${formField}: this model begins with a thought, and where it ends cannot be told: ${CLOSE} is no token of its own. Leave this out, or turn thinking off with chat_template_kwargs.`,
		formField,
	);
}

/** The words the model is to go on with; null where it begins. */
function begunAnswer({ continue_final_message, messages }: ChatBody) {
	const { role, content } = messages[messages.length - 1];
	if (!continue_final_message || role !== "assistant") return null;
	if (typeof content === "string") return content;
	return (content ?? []).map(({ text }) => text ?? "").join("\n");
}

/** The token of that text, where the model can say it. */
function logitOf(
	{ modelConfig, tokenizer }: ServedEngine,
	token: string,
): number | undefined {
	const id = tokenizer.id(token);
	return id !== undefined && id < modelConfig.vocabSize ? id : undefined;
}

/** Special tokens stay in the text where the parser looks for them; undefined: as the model's defaults say. */
function keepsMarkers(
	mode: ToolMode,
	{ engine, options }: Services,
): false | undefined {
	if (mode.kind !== "auto" || options.toolCallParser === null) return undefined;
	const markers = MARKERS[options.toolCallParser];
	return markers.some((marker) => isSpecial(engine, marker))
		? false
		: undefined;
}

function isSpecial({ tokenizer }: ServedEngine, marker: string): boolean {
	const id = tokenizer.id(marker);
	return id !== undefined && tokenizer.isSpecial(id);
}

function createParser(
	body: ChatBody,
	mode: ToolMode,
	options: ServerOptions,
	prompt: EncodedPrompt,
): AnswerParser {
	const maxCalls = body.parallel_tool_calls === false ? 1 : Infinity;
	const answer = createAnswerParser(mode, options, maxCalls);
	if (options.reasoningParser === null) return answer;
	const isOpen = endsInThought(prompt.text ?? "", begunAnswer(body));
	return createReasoningParser(answer, isOpen);
}

function createAnswerParser(
	mode: ToolMode,
	{ toolCallParser }: ServerOptions,
	maxCalls: number,
): AnswerParser {
	switch (mode.kind) {
		case "off":
			return createPlainParser();
		case "named":
			return createNamedCallParser(mode.tool.function.name);
		case "required":
			return createJsonCallsParser(true, maxCalls);
		case "auto":
			return toolCallParser === "hermes"
				? createHermesParser(maxCalls)
				: createJsonCallsParser(false, maxCalls);
		default:
			return mode satisfies never;
	}
}

function logprobStyle(body: ChatBody): LogprobStyle | null {
	const { logprobs, top_logprobs: count } = body;
	if (!logprobs) {
		if (count)
			throw badRequest("top_logprobs wants logprobs: true.", "top_logprobs");
		return null;
	}
	const asTokenIds = body.return_tokens_as_token_ids ?? false;
	return { count: count ?? 0, asTokenIds };
}
