/** /v1/completions: one prompt or many, as text or token ids, each continued n times. Knows no engine. */
import type {
	CompletionDelta,
	CompletionOutput,
	RequestOutput,
} from "../index.ts";
import { loraRequestOf } from "./adapters.ts";
import { badRequest } from "./api-error.ts";
import type { CompletionBody } from "./completion-schema.ts";
import {
	type Call,
	checkModel,
	generate,
	type Services,
} from "./generation.ts";
import { MAX_SEQUENCES } from "./limits.ts";
import {
	createCompletionLogprobs,
	type LogprobStyle,
	promptLogprobs,
} from "./logprobs.ts";
import type { EncodedPrompt } from "./prompts.ts";
import { type RunContext, runTasks, type Task } from "./run.ts";
import { checkRoom, formFieldOf, samplingParams } from "./sampling.ts";
import type { EventSink } from "./sse.ts";
import { type Usage, usage, usageOf } from "./usage.ts";

interface Plan {
	readonly services: Services;
	readonly head: { id: string; created: number; model: string };
	readonly body: CompletionBody;
	readonly prompts: readonly EncodedPrompt[];
	readonly tasks: readonly Task[];
	readonly n: number;
	/** max_tokens 0: the prompt is looked at, and nothing written. */
	readonly isSilent: boolean;
	readonly logprobs: LogprobStyle | null;
}

export function completion(
	call: Call,
	body: CompletionBody,
): Promise<Response> {
	return generate(call, body.stream ?? false, () => {
		const plan = planOf(call, body);
		return {
			whole: (context) => answerWhole(plan, context),
			stream: (context, sink) => answerStream(plan, context, sink),
		};
	});
}

function planOf(call: Call, body: CompletionBody): Plan {
	const { services } = call;
	const { engine } = services;
	const model = checkModel(services, body.model);
	if (body.suffix)
		throw badRequest(
			"suffix is not supported: models here write forwards.",
			"suffix",
		);
	const isSilent = body.max_tokens === 0;
	if (isSilent && !body.echo)
		throw badRequest(
			"max_tokens 0 writes nothing, which makes sense with echo alone.",
			"max_tokens",
		);
	if (body.stream && body.echo && typeof body.logprobs === "number")
		throw badRequest(
			"echo with logprobs cannot be streamed: the prompt's come at the end.",
			"stream",
		);
	const prompts = services.prompts.list(
		body.prompt,
		body.add_special_tokens ?? true,
		body.truncate_prompt_tokens,
	);
	const n = body.n ?? 1;
	if (prompts.length * n > MAX_SEQUENCES)
		throw badRequest(
			`${prompts.length} prompts with n ${n} are more than the ${MAX_SEQUENCES} outputs of one request.`,
			"n",
		);
	const maxTokens = isSilent ? 1 : (body.max_tokens ?? undefined);
	for (const { tokenIds } of prompts)
		checkRoom(tokenIds.length, maxTokens, engine.maxModelLen, "prompt");
	const asTokenIds = body.return_tokens_as_token_ids ?? false;
	const count = body.logprobs ?? null;
	const params = samplingParams(body, engine, {
		maxTokens,
		logprobs: count,
		promptLogprobs: body.prompt_logprobs ?? (body.echo ? count : undefined),
		...(isSilent && { minTokens: 0 }),
	});
	return {
		services,
		head: { id: `cmpl-${call.requestId}`, created: call.created, model },
		body,
		prompts,
		tasks: prompts.map(({ tokenIds }) => ({
			promptTokenIds: tokenIds,
			params,
			priority: body.priority ?? undefined,
			cacheSalt: body.cache_salt ?? null,
			thought: null,
			formField: formFieldOf(body, "response_format"),
			loraRequest: loraRequestOf(services, body.model),
		})),
		n,
		isSilent,
		logprobs: count === null ? null : { count, asTokenIds },
	};
}

/** Nothing of a silent request's one token is shown. */
function shown(output: CompletionOutput, { isSilent }: Plan): CompletionOutput {
	if (!isSilent) return output;
	return {
		...output,
		text: "",
		tokenIds: [],
		logprobs: output.logprobs && [],
		finishReason: "length",
		stopReason: null,
	};
}

const usedBy = (outputs: readonly RequestOutput[], plan: Plan): Usage =>
	usageOf(
		outputs.map((output) => ({
			...output,
			outputs: output.outputs.map((each) => shown(each, plan)),
		})),
	);

async function answerWhole(plan: Plan, context: RunContext) {
	const outputs = await runTasks(plan.tasks, context);
	const choices = outputs.flatMap((output, promptIndex) =>
		output.outputs.map((each) =>
			choiceOf(plan, output, promptIndex, shown(each, plan)),
		),
	);
	const used = usedBy(outputs, plan);
	return {
		body: {
			...plan.head,
			object: "text_completion",
			choices,
			usage: used,
			service_tier: null,
			system_fingerprint: null,
		},
		log: { usage: used },
	};
}

const tokenOf = ({ services }: Plan, tokenId: number) => ({
	tokenId,
	token: services.engine.tokenizer.tokenText(tokenId),
});

/** A prompt given as token ids is echoed as text. */
const textOf = (
	{ services }: Plan,
	{ text, tokenIds }: EncodedPrompt,
): string => text ?? services.engine.tokenizer.decode(tokenIds);

function choiceOf(
	plan: Plan,
	output: RequestOutput,
	promptIndex: number,
	choice: CompletionOutput,
) {
	const { body, logprobs, n, prompts } = plan;
	const prompt = prompts[promptIndex];
	const echoed = body.echo ? textOf(plan, prompt) : "";
	const lists = logprobs && createCompletionLogprobs(logprobs);
	if (lists && body.echo)
		for (const [i, id] of prompt.tokenIds.entries())
			lists.add(output.promptLogprobs?.[i] ?? null, tokenOf(plan, id));
	if (lists)
		for (const [i, id] of choice.tokenIds.entries())
			lists.add(choice.logprobs?.[i] ?? null, tokenOf(plan, id));
	return {
		index: promptIndex * n + choice.index,
		text: echoed + choice.text,
		logprobs: lists?.lists ?? null,
		finish_reason: choice.finishReason,
		stop_reason: choice.stopReason,
		prompt_logprobs: promptLogprobs(
			body.prompt_logprobs == null ? null : output.promptLogprobs,
		),
		...(body.return_token_ids && {
			token_ids: choice.tokenIds,
			prompt_token_ids: prompt.tokenIds,
		}),
	};
}

async function answerStream(
	plan: Plan,
	context: RunContext,
	sink: EventSink,
): Promise<object> {
	const { body, head, n } = plan;
	const wantsUsage = body.stream_options?.include_usage ?? false;
	const isContinuous = body.stream_options?.continuous_usage_stats ?? false;
	const base = { ...head, object: "text_completion" };
	const offsets: number[] = [];
	const counts = plan.prompts.map(() => 0);
	const outputs = await runTasks(plan.tasks, context, (delta, promptIndex) => {
		const at = promptIndex * n + delta.index;
		const isFirst = offsets[at] === undefined;
		offsets[at] ??= 0;
		counts[promptIndex] += delta.tokenIds.length;
		const choice = chunkOf(plan, delta, promptIndex, isFirst, offsets);
		const isEmpty =
			choice.text === "" &&
			delta.finishReason === null &&
			!body.return_token_ids &&
			plan.logprobs === null;
		if (isEmpty) return;
		const numPrompt = plan.prompts[promptIndex].tokenIds.length;
		sink.send({
			...base,
			choices: [choice],
			...(isContinuous
				? { usage: usage(numPrompt, counts[promptIndex]) }
				: wantsUsage && { usage: null }),
		});
	});
	const used = usedBy(outputs, plan);
	if (wantsUsage) sink.send({ ...base, choices: [], usage: used });
	sink.done();
	return { usage: used };
}

function chunkOf(
	plan: Plan,
	delta: CompletionDelta,
	promptIndex: number,
	isFirst: boolean,
	offsets: number[],
) {
	const { body, isSilent, logprobs, n, prompts } = plan;
	const prompt = prompts[promptIndex];
	const echoed = isFirst && body.echo ? textOf(plan, prompt) : "";
	const at = promptIndex * n + delta.index;
	const lists = logprobs && createCompletionLogprobs(logprobs, offsets[at]);
	if (lists)
		for (const [i, id] of delta.tokenIds.entries())
			lists.add(delta.logprobs?.[i] ?? null, tokenOf(plan, id));
	if (lists) offsets[at] = lists.offset;
	const isEnd = delta.finishReason !== null;
	return {
		index: at,
		text: echoed + (isSilent ? "" : delta.text),
		logprobs: lists?.lists ?? null,
		finish_reason: isEnd && isSilent ? "length" : delta.finishReason,
		stop_reason: delta.stopReason,
		...(body.return_token_ids && {
			token_ids: isSilent ? [] : delta.tokenIds,
			...(isFirst && { prompt_token_ids: prompt.tokenIds }),
		}),
	};
}
