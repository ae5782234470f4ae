/** A body of /v1/responses as the chat it stands for. Knows no answer. */
import { badRequest } from "./api-error.ts";
import { type ChatBody, chatBody, type Message } from "./chat-schema.ts";
import { checked } from "./request-body.ts";
import type { InputItem, ResponsesBody } from "./responses-schema.ts";

const LOGPROBS = "message.output_text.logprobs";

/** @throws ApiError 400 for what needs a memory this server has not */
export function asChat(body: ResponsesBody): ChatBody {
	if (body.previous_response_id)
		throw badRequest(
			"this server stores no responses: send the whole conversation as input.",
			"previous_response_id",
		);
	if (body.background)
		throw badRequest(
			"this server answers at once: leave background out.",
			"background",
		);
	const { input, instructions, tools, tool_choice: choice } = body;
	const format = body.text?.format;
	return checked(chatBody, {
		...body,
		n: 1,
		messages: [
			...(instructions ? [{ role: "system", content: instructions }] : []),
			...(typeof input === "string"
				? [{ role: "user", content: input }]
				: messagesOf(input)),
		],
		max_completion_tokens: body.max_output_tokens,
		tools: tools?.map(({ type, ...own }) => ({ type, function: own })),
		tool_choice:
			typeof choice === "object" && choice !== null
				? { type: "function", function: { name: choice.name } }
				: choice,
		response_format:
			format?.type === "json_schema"
				? { type: "json_schema", json_schema: format }
				: format,
		logprobs: body.include?.includes(LOGPROBS) || Boolean(body.top_logprobs),
	});
}

/** Calls belong to the assistant's message before them, and so do its thoughts. */
function messagesOf(items: readonly InputItem[]): Message[] {
	const messages: Message[] = [];
	const assistant = (): Message => {
		const last = messages.at(-1);
		if (last?.role === "assistant") return last;
		const message: Message = { role: "assistant", content: "" };
		messages.push(message);
		return message;
	};
	for (const item of items)
		switch (item.type) {
			case "function_call": {
				const { call_id: id, name, arguments: args } = item;
				const call = {
					id,
					type: "function" as const,
					function: { name, arguments: args },
				};
				const message = assistant();
				message.tool_calls = [...(message.tool_calls ?? []), call];
				break;
			}
			case "function_call_output":
				messages.push({
					role: "tool",
					tool_call_id: item.call_id,
					content: textOf(item.output),
				});
				break;
			case "reasoning":
				messages.push({
					role: "assistant",
					content: "",
					reasoning_content: textOf(item.content ?? ""),
				});
				break;
			default: {
				const last = messages.at(-1);
				const isThought = last?.reasoning_content && last.content === "";
				if (item.role === "assistant" && isThought)
					last.content = textOf(item.content);
				else messages.push({ role: item.role, content: textOf(item.content) });
			}
		}
	return messages;
}

const textOf = (
	content: string | readonly { text?: string | null }[],
): string =>
	typeof content === "string"
		? content
		: content.map(({ text }) => text ?? "").join("\n");
