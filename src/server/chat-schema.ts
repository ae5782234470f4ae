/** Bodies of /v1/chat/completions, and what of them /tokenize shares. Knows no handler. */
import { z } from "zod";
import { MAX_MESSAGES, MAX_TOOLS } from "./limits.ts";
import {
	integer,
	name,
	samplingFields,
	streamFields,
} from "./sampling-schema.ts";

const textPart = z.looseObject({
	type: z.enum(["text", "input_text", "output_text", "refusal"], {
		error: "this server reads text only: wanted a part of type text",
	}),
	text: z.string().nullish(),
	refusal: z.string().nullish(),
});

export const toolCall = z.looseObject({
	id: z.string().nullish(),
	type: z.literal("function").nullish(),
	function: z.looseObject({ name, arguments: z.unknown() }),
});

export const message = z.looseObject({
	role: z.string().min(1).max(64),
	content: z.union([z.string(), z.array(textPart)]).nullish(),
	name: z.string().nullish(),
	tool_calls: z.array(toolCall).max(MAX_TOOLS).nullish(),
	tool_call_id: z.string().nullish(),
	reasoning_content: z.string().nullish(),
});

export const tool = z.looseObject({
	type: z.literal("function"),
	function: z.looseObject({
		name,
		description: z.string().nullish(),
		parameters: z.record(z.string(), z.unknown()).nullish(),
		strict: z.boolean().nullish(),
	}),
});

export const toolChoice = z.union([
	z.enum(["none", "auto", "required"]),
	z.object({
		type: z.literal("function"),
		function: z.object({ name }),
	}),
]);

/** What a chat template is given. */
export const templateFields = {
	messages: z.array(message).min(1).max(MAX_MESSAGES),
	tools: z.array(tool).max(MAX_TOOLS).nullish(),
	documents: z.array(z.record(z.string(), z.unknown())).nullish(),
	add_generation_prompt: z.boolean().nullish(),
	continue_final_message: z
		.boolean()
		.nullish()
		.describe("go on with the last message instead of beginning an answer"),
	add_special_tokens: z
		.boolean()
		.nullish()
		.describe("besides those the template writes"),
	chat_template: z
		.string()
		.nullish()
		.describe("refused: templates are programs"),
	chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
};

export const chatBody = z.object({
	...samplingFields,
	...streamFields,
	...templateFields,
	max_completion_tokens: integer(1).nullish(),
	max_tokens: integer(1).nullish(),
	logprobs: z.boolean().nullish(),
	top_logprobs: integer(0).nullish(),
	tool_choice: toolChoice.nullish(),
	parallel_tool_calls: z.boolean().nullish(),
	include_reasoning: z.boolean().nullish(),
});

export type ChatBody = z.output<typeof chatBody>;
export type Message = z.output<typeof message>;
export type Tool = z.output<typeof tool>;
export type ToolChoice = z.output<typeof toolChoice>;
export type TemplateBody = z.output<z.ZodObject<typeof templateFields>>;
