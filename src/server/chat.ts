/** /v1/chat/completions: an answer whole, or in chunks with the role first. Knows no engine. */
import type { CompletionDelta, CompletionOutput } from "../index.ts";
import {
	type AnswerParser,
	type AnswerPiece,
	parseAnswer,
} from "./answer-pieces.ts";
import { type ChatPlan, planChat } from "./chat-plan.ts";
import type { ChatBody } from "./chat-schema.ts";
import { type Call, checkModel, generate } from "./generation.ts";
import { createCallId } from "./ids.ts";
import { chatLogprobs, promptLogprobs } from "./logprobs.ts";
import { type RunContext, runTasks } from "./run.ts";
import type { EventSink } from "./sse.ts";
import { usage, usageOf } from "./usage.ts";

export function chatCompletion(call: Call, body: ChatBody): Promise<Response> {
	return generate(call, body.stream ?? false, () => {
		const model = checkModel(call.services, body.model);
		const plan = planChat(body, call.services);
		const id = `chatcmpl-${call.requestId}`;
		const head = { id, created: call.created, model };
		return {
			whole: (context) => answerWhole(head, body, plan, context),
			stream: (context, sink) => answerStream(head, body, plan, context, sink),
		};
	});
}

interface Head {
	readonly id: string;
	readonly created: number;
	readonly model: string;
}

async function answerWhole(
	head: Head,
	body: ChatBody,
	plan: ChatPlan,
	context: RunContext,
) {
	const [output] = await runTasks([plan.task], context);
	const choices = output.outputs.map((each) => choiceOf(each, body, plan));
	const used = usageOf([output]);
	return {
		body: {
			...head,
			object: "chat.completion",
			choices,
			usage: used,
			service_tier: null,
			system_fingerprint: null,
			prompt_logprobs: promptLogprobs(output.promptLogprobs),
			...(body.return_token_ids && { prompt_token_ids: output.promptTokenIds }),
		},
		log: { usage: used },
	};
}

function choiceOf(output: CompletionOutput, body: ChatBody, plan: ChatPlan) {
	const { index, text, tokenIds, finishReason, stopReason } = output;
	const answer = parseAnswer(plan.createParser(), text);
	const { reasoning, calls } = answer;
	const isElsewhere = calls.length > 0 || reasoning !== null;
	const withReasoning = reasoning !== null && body.include_reasoning !== false;
	return {
		index,
		message: {
			role: "assistant",
			content: answer.content ?? (isElsewhere ? null : ""),
			refusal: null,
			...(withReasoning && { reasoning_content: reasoning }),
			...(calls.length > 0 && {
				tool_calls: calls.map((call) => ({
					id: createCallId(),
					type: "function",
					function: call,
				})),
			}),
		},
		logprobs:
			plan.logprobs &&
			chatLogprobs(output.logprobs ?? [], tokenIds, plan.logprobs),
		finish_reason: plan.finishReason(finishReason, calls.length),
		stop_reason: stopReason,
		...(body.return_token_ids && { token_ids: tokenIds }),
	};
}

/** One choice in the making. */
interface Choice {
	readonly parser: AnswerParser;
	numCalls: number;
	isBegun: boolean;
}

async function answerStream(
	head: Head,
	body: ChatBody,
	plan: ChatPlan,
	context: RunContext,
	sink: EventSink,
): Promise<object> {
	const choices: Choice[] = [];
	const numPromptTokens = plan.prompt.tokenIds.length;
	const wantsUsage = body.stream_options?.include_usage ?? false;
	const isContinuous = body.stream_options?.continuous_usage_stats ?? false;
	let numTokens = 0;
	const base = {
		...head,
		object: "chat.completion.chunk",
		system_fingerprint: null,
	};
	const send = (choice: object, extra?: object) =>
		sink.send({
			...base,
			...extra,
			choices: [choice],
			...(isContinuous
				? { usage: usage(numPromptTokens, numTokens) }
				: wantsUsage && { usage: null }),
		});
	const begin = (index: number): Choice => {
		const delta = { role: "assistant", content: "" };
		const extra = body.return_token_ids
			? { prompt_token_ids: plan.prompt.tokenIds }
			: undefined;
		send({ index, delta, logprobs: null, finish_reason: null }, extra);
		return { parser: plan.createParser(), numCalls: 0, isBegun: true };
	};
	const [output] = await runTasks([plan.task], context, (delta) => {
		choices[delta.index] ??= begin(delta.index);
		numTokens += delta.tokenIds.length;
		for (const part of chunksOf(delta, choices[delta.index], body, plan))
			send(part);
	});
	const used = usageOf([output]);
	if (wantsUsage) sink.send({ ...base, choices: [], usage: used });
	sink.done();
	return { usage: used };
}

/** The choices of the chunks that one delta becomes: none while a parser holds text back. */
function chunksOf(
	delta: CompletionDelta,
	choice: Choice,
	body: ChatBody,
	plan: ChatPlan,
): object[] {
	const { index, text, tokenIds, finishReason } = delta;
	const pieces = choice.parser.push(text);
	if (finishReason !== null) pieces.push(...choice.parser.finish());
	const deltas = pieces
		.filter((p) => p.kind !== "reasoning" || body.include_reasoning !== false)
		.map((piece) => deltaOf(piece, choice));
	const details = {
		logprobs:
			plan.logprobs &&
			chatLogprobs(delta.logprobs ?? [], tokenIds, plan.logprobs),
		...(body.return_token_ids && { token_ids: tokenIds }),
	};
	const isDetailed = plan.logprobs !== null || body.return_token_ids;
	if (deltas.length === 0 && isDetailed && tokenIds.length > 0) deltas.push({});
	const chunks: object[] = deltas.map((each, i) => ({
		index,
		delta: each,
		...(i === 0 ? details : { logprobs: null }),
		finish_reason: null,
	}));
	if (finishReason !== null)
		chunks.push({
			index,
			delta: {},
			logprobs: null,
			finish_reason: plan.finishReason(finishReason, choice.numCalls),
			stop_reason: delta.stopReason,
		});
	return chunks;
}

function deltaOf(piece: AnswerPiece, choice: Choice): object {
	switch (piece.kind) {
		case "content":
			return { content: piece.text };
		case "reasoning":
			return { reasoning_content: piece.text };
		case "call": {
			const { index, name } = piece;
			choice.numCalls++;
			const call = { name, arguments: "" };
			return {
				tool_calls: [
					{ index, id: createCallId(), type: "function", function: call },
				],
			};
		}
		case "arguments": {
			const { index, text } = piece;
			return { tool_calls: [{ index, function: { arguments: text } }] };
		}
		default:
			return piece satisfies never;
	}
}
