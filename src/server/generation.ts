/** What the endpoints that generate share: who asks, under which name, and how an answer gets out, whole or as a stream. Knows no bodies. */
import type { Admission, Ticket } from "./admission.ts";
import { ApiError, toApiError } from "./api-error.ts";
import type { ServedEngine } from "./engine.ts";
import type { Inspector } from "./inspector.ts";
import type { ServerMetrics } from "./metrics.ts";
import type { ServerOptions } from "./options.ts";
import type { PromptReader } from "./prompts.ts";
import type { RunContext } from "./run.ts";
import { type EventSink, streamEvents } from "./sse.ts";

/** What every handler works with. */
export interface Services {
	readonly engine: ServedEngine;
	readonly options: ServerOptions;
	readonly metrics: ServerMetrics;
	readonly admission: Admission;
	readonly prompts: PromptReader;
	/** null: off. */
	readonly inspector: Inspector | null;
	/** The first is the one answers bear. */
	readonly modelNames: readonly string[];
	readonly startedAt: number;
}

/** One request, as a handler sees it. */
export interface Call {
	readonly services: Services;
	readonly request: Request;
	readonly requestId: string;
	/** Seconds since 1970. */
	readonly created: number;
	/** What becomes of it goes into the log; a stream's end comes after the Response. */
	readonly onEnd: (fields: object, error: ApiError | null) => void;
}

/** An answer in the making. */
export interface Answer {
	/** The whole answer as JSON, and what the log says of it. */
	readonly whole: (
		context: RunContext,
	) => Promise<{ body: object; log: object }>;
	/** The same in events. @returns what the log says of it */
	readonly stream: (context: RunContext, sink: EventSink) => Promise<object>;
	readonly sendError?: (sink: EventSink, error: ApiError) => void;
}

/** A model's name, or an adapter's. @throws ApiError 404 for one that is not here */
export function checkModel(
	{ engine, modelNames }: Services,
	model: string | null | undefined,
): string {
	if (model === null || model === undefined) return modelNames[0];
	if (modelNames.includes(model)) return model;
	const adapters = engine.listLoraAdapters().map(({ name }) => name);
	if (adapters.includes(model)) return model;
	throw new ApiError(
		404,
		`there is no model ${JSON.stringify(model)} here. Known: ${[...modelNames, ...adapters].join(", ")}.`,
		{ param: "model", code: "model_not_found" },
	);
}

/** `prepare` checks everything that can be checked before the engine has work. @throws ApiError */
export async function generate(
	call: Call,
	isStream: boolean,
	prepare: () => Answer,
): Promise<Response> {
	const { services, request } = call;
	const ticket = services.admission.enter(request.signal);
	try {
		const answer = prepare();
		const context = {
			engine: services.engine,
			metrics: services.metrics,
			signal: ticket.signal,
		};
		if (isStream) return await streamAnswer(call, answer, context, ticket);
		const { body, log } = await answer.whole(context);
		ticket.release();
		call.onEnd(log, null);
		return Response.json(body);
	} catch (cause) {
		ticket.release();
		throw toApiError(cause);
	}
}

function streamAnswer(
	call: Call,
	answer: Answer,
	context: RunContext,
	ticket: Ticket,
): Promise<Response> {
	let log: object = {};
	return streamEvents({
		async run(sink) {
			log = await answer.stream(context, sink);
		},
		onCancel: (reason) => ticket.abort(reason),
		onEnd(error) {
			ticket.release();
			if (error !== null) return call.onEnd({ isStream: true }, error);
			call.onEnd({ ...log, isStream: true }, null);
		},
		sendError(sink, error) {
			if (answer.sendError !== undefined) return answer.sendError(sink, error);
			sink.send(error.body);
			sink.done();
		},
	});
}
