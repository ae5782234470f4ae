/** Bodies of /v1/responses: text and calls of functions in and out. Knows no handler. */
import { z } from "zod";
import { MAX_MESSAGES, MAX_TOOLS } from "./limits.ts";
import { integer, name, samplingFields } from "./sampling-schema.ts";

const textPart = z.looseObject({
	type: z.enum(
		["input_text", "output_text", "text", "refusal", "reasoning_text"],
		{
			error: "this server reads text only: wanted a part of type input_text",
		},
	),
	text: z.string().nullish(),
});
const content = z.union([z.string(), z.array(textPart)]);

export const inputItem = z.union([
	z.looseObject({
		type: z.literal("message").nullish(),
		role: z.enum(["user", "assistant", "system", "developer"]),
		content,
	}),
	z.looseObject({
		type: z.literal("function_call"),
		call_id: z.string(),
		name,
		arguments: z.string(),
	}),
	z.looseObject({
		type: z.literal("function_call_output"),
		call_id: z.string(),
		output: content,
	}),
	z.looseObject({
		type: z.literal("reasoning"),
		content: z.array(textPart).nullish(),
	}),
]);

export const responseTool = z.looseObject({
	type: z.literal("function", {
		error:
			"this server runs no tools of its own: wanted a tool of type function",
	}),
	name,
	description: z.string().nullish(),
	parameters: z.record(z.string(), z.unknown()).nullish(),
	strict: z.boolean().nullish(),
});

const textFormat = z.discriminatedUnion("type", [
	z.object({ type: z.literal("text") }),
	z.object({ type: z.literal("json_object") }),
	z.object({
		type: z.literal("json_schema"),
		name: name.nullish(),
		description: z.string().nullish(),
		schema: z.record(z.string(), z.unknown()),
		strict: z.boolean().nullish(),
	}),
]);

const {
	n: _,
	response_format: __,
	max_tokens: ___,
	...shared
} = samplingFields;

export const responsesBody = z.object({
	...shared,
	input: z.union([z.string(), z.array(inputItem).min(1).max(MAX_MESSAGES)]),
	instructions: z.string().nullish(),
	max_output_tokens: integer(1).nullish(),
	stream: z.boolean().nullish(),
	tools: z.array(responseTool).max(MAX_TOOLS).nullish(),
	tool_choice: z
		.union([
			z.enum(["none", "auto", "required"]),
			z.object({ type: z.literal("function"), name }),
		])
		.nullish(),
	parallel_tool_calls: z.boolean().nullish(),
	text: z.object({ format: textFormat.nullish() }).nullish(),
	top_logprobs: integer(0).nullish(),
	include: z.array(z.string()).nullish(),
	chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
	metadata: z.record(z.string(), z.unknown()).nullish(),
	previous_response_id: z
		.string()
		.nullish()
		.describe("refused: nothing is stored, send the whole conversation"),
	background: z.boolean().nullish(),
	store: z.boolean().nullish().describe("without effect: nothing is stored"),
});

export type ResponsesBody = z.output<typeof responsesBody>;
export type InputItem = z.output<typeof inputItem>;
