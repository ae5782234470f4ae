/** /v1/responses: OpenAI's newer form of a chat, without a memory: every request brings its whole conversation. Knows no engine. */
import type { RequestOutput } from "../index.ts";
import { type ChatPlan, planChat } from "./chat-plan.ts";
import { type Call, checkModel, generate } from "./generation.ts";
import { createItemId } from "./ids.ts";
import { chatLogprobs } from "./logprobs.ts";
import { ResponseItems } from "./response-items.ts";
import { asChat } from "./responses-input.ts";
import type { ResponsesBody } from "./responses-schema.ts";
import { type RunContext, runTasks } from "./run.ts";
import type { EventSink } from "./sse.ts";
import { usageOf } from "./usage.ts";

export function response(call: Call, body: ResponsesBody): Promise<Response> {
	return generate(call, body.stream ?? false, () => {
		const model = checkModel(call.services, body.model);
		const chat = asChat(body);
		const plan = planChat(chat, call.services, "text.format");
		const head = headOf(call, body, model, plan);
		let sequenceNumber = 0;
		const send = (sink: EventSink, type: string, fields: object) =>
			sink.send({ type, sequence_number: sequenceNumber++, ...fields }, type);
		return {
			whole: async (context) => {
				const items = new ResponseItems(() => {});
				const output = await build(plan, context, items);
				return finished(head, output, items);
			},
			async stream(context, sink) {
				const begun = { ...head, status: "in_progress" };
				send(sink, "response.created", { response: begun });
				send(sink, "response.in_progress", { response: begun });
				const items = new ResponseItems((type, fields) =>
					send(sink, type, fields),
				);
				const output = await build(plan, context, items);
				const { body, log } = finished(head, output, items);
				send(sink, `response.${body.status}`, { response: body });
				return log;
			},
			sendError(sink, error) {
				const { code, message } = error;
				const failed = { ...head, status: "failed", error: { code, message } };
				send(sink, "response.failed", { response: failed });
			},
		};
	});
}

/** What of a response is known before the model has said anything. */
function headOf(
	call: Call,
	body: ResponsesBody,
	model: string,
	plan: ChatPlan,
) {
	const { params } = plan.task;
	return {
		id: createItemId("resp"),
		object: "response",
		created_at: call.created,
		status: "in_progress",
		background: false,
		error: null as { code: string | null; message: string } | null,
		incomplete_details: null as { reason: string } | null,
		instructions: body.instructions ?? null,
		max_output_tokens: body.max_output_tokens ?? null,
		metadata: body.metadata ?? {},
		model,
		output: [] as object[],
		parallel_tool_calls: body.parallel_tool_calls ?? true,
		previous_response_id: null,
		reasoning: { effort: null, summary: null },
		store: false,
		temperature: params.temperature ?? 1,
		text: { format: body.text?.format ?? { type: "text" } },
		tool_choice: body.tool_choice ?? "auto",
		tools: body.tools ?? [],
		top_logprobs: body.top_logprobs ?? 0,
		top_p: params.topP ?? 1,
		truncation: "disabled",
		usage: null as object | null,
		user: body.user ?? null,
	};
}

const statusOf = (output: RequestOutput) =>
	output.outputs[0].finishReason === "length" ? "incomplete" : "completed";

/** Runs the model and builds its answer's items as it speaks. */
async function build(
	plan: ChatPlan,
	context: RunContext,
	items: ResponseItems,
): Promise<RequestOutput> {
	const parser = plan.createParser();
	let logprobs: object[] = [];
	const [output] = await runTasks([plan.task], context, (delta) => {
		if (plan.logprobs && delta.logprobs)
			logprobs.push(
				...chatLogprobs(delta.logprobs, delta.tokenIds, plan.logprobs).content,
			);
		const pieces = parser.push(delta.text);
		if (delta.finishReason !== null) pieces.push(...parser.finish());
		for (const piece of pieces) {
			items.push(piece, logprobs);
			logprobs = [];
		}
	});
	items.finish(statusOf(output));
	return output;
}

function finished(
	head: ReturnType<typeof headOf>,
	output: RequestOutput,
	items: ResponseItems,
) {
	const status = statusOf(output);
	const used = usageOf([output]);
	return {
		body: {
			...head,
			status,
			incomplete_details:
				status === "incomplete" ? { reason: "max_output_tokens" } : null,
			output: items.output(status),
			usage: {
				input_tokens: used.prompt_tokens,
				input_tokens_details: used.prompt_tokens_details,
				output_tokens: used.completion_tokens,
				output_tokens_details: { reasoning_tokens: 0 },
				total_tokens: used.total_tokens,
			},
		},
		log: { usage: used },
	};
}
