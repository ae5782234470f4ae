/** Every endpoint: where it is, what it reads, who may call it. The app serves this table and the OpenAPI document tells it. */
import type { z } from "zod";
import {
	loadAdapter,
	loadAdapterBody,
	unloadAdapter,
	unloadAdapterBody,
} from "./adapters.ts";
import { unavailable } from "./api-error.ts";
import { chatCompletion } from "./chat.ts";
import { chatBody } from "./chat-schema.ts";
import {
	completionBody,
	detokenizeBody,
	tokenizeBody,
} from "./completion-schema.ts";
import { completion } from "./completions.ts";
import type { Call } from "./generation.ts";
import {
	engineEvents,
	pauseEngine,
	resumeEngine,
	stepEngine,
} from "./inspector.ts";
import { listModels, retrieveModel } from "./models.ts";
import { readBody } from "./request-body.ts";
import { response } from "./responses.ts";
import { responsesBody } from "./responses-schema.ts";
import { detokenize, tokenize } from "./tokenize.ts";

export interface Route {
	readonly method: "GET" | "POST";
	/** `:name{pattern}` for a part that varies. */
	readonly path: string;
	readonly about: string;
	/** What a POST reads; null: nothing. */
	readonly body: z.ZodType | null;
	/** Answers probes and scrapers, who bring no key, and is not logged. */
	readonly isOpen: boolean;
	readonly handle: (call: Call, params: Params) => Response | Promise<Response>;
}

type Params = Readonly<Record<string, string>>;

function post<T extends z.ZodType>(
	path: string,
	about: string,
	body: T,
	handle: (call: Call, body: z.output<T>) => Response | Promise<Response>,
): Route {
	return {
		method: "POST",
		path,
		about,
		body,
		isOpen: false,
		handle: async (call) => {
			const { log, logRequests, maxBodyBytes } = call.services.options;
			const read = await readBody(call.request, body, maxBodyBytes);
			if (logRequests)
				log.info({ requestId: call.requestId, body: read }, path);
			return handle(call, read);
		},
	};
}

const get = (
	path: string,
	about: string,
	handle: Route["handle"],
	isOpen = true,
): Route => ({ method: "GET", path, about, body: null, isOpen, handle });

/** A POST that reads nothing. */
const action = (
	path: string,
	about: string,
	handle: Route["handle"],
): Route => ({ ...get(path, about, handle, false), method: "POST" });

/** 200 with nothing in it; 503 from the moment the server is told to end, or its engine cannot go on. */
function health({ services }: Call): Response {
	const { failure } = services.engine;
	if (failure !== null) throw unavailable(failure.message, failure.code);
	if (services.admission.isDraining)
		throw unavailable("this server is shutting down.", "shutting_down");
	return new Response(null);
}

const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const ping = get("/ping", "As /health, for SageMaker.", health);

export const ROUTES: readonly Route[] = [
	post(
		"/v1/chat/completions",
		"Answers a conversation.",
		chatBody,
		chatCompletion,
	),
	post("/v1/completions", "Continues prompts.", completionBody, completion),
	post(
		"/v1/responses",
		"Answers a conversation, in OpenAI's newer form; nothing is stored.",
		responsesBody,
		response,
	),
	get(
		"/v1/models",
		"The names this server answers to.",
		({ services }) => listModels(services),
		false,
	),
	get(
		"/v1/models/:id{.+}",
		"One of them.",
		({ services }, { id }) => retrieveModel(services, id),
		false,
	),
	post(
		"/v1/load_lora_adapter",
		"Another adapter, where the server was started so that more may come.",
		loadAdapterBody,
		loadAdapter,
	),
	post(
		"/v1/unload_lora_adapter",
		"One adapter less.",
		unloadAdapterBody,
		unloadAdapter,
	),
	post(
		"/tokenize",
		"The tokens of a text or a conversation.",
		tokenizeBody,
		(call, body) => tokenize(call.services, body),
	),
	post("/detokenize", "The text of tokens.", detokenizeBody, (call, body) =>
		detokenize(call.services, body),
	),
	get(
		"/inspector/events",
		"What the engine does, as server-sent events: `data: [event, …]`, a snapshot first; with --enable-inspector.",
		engineEvents,
		false,
	),
	action(
		"/inspector/pause",
		"No more steps; answers when none runs. This and the next two with --enable-inspector-control.",
		pauseEngine,
	),
	action("/inspector/resume", "Steps again.", resumeEngine),
	action(
		"/inspector/step",
		"One step of a paused engine; answers when its tokens were handed out.",
		stepEngine,
	),
	get("/health", "Whether requests are taken.", health),
	get("/health/ready", "As /health.", health),
	ping,
	{ ...ping, method: "POST" },
	get("/version", "Of this server.", ({ services }) =>
		Response.json({ version: services.options.version }),
	),
	get("/load", "Requests being answered.", ({ services }) =>
		Response.json({ server_load: services.admission.load }),
	),
	get("/is_sleeping", "Never.", () => Response.json({ is_sleeping: false })),
	get(
		"/metrics",
		"Prometheus metrics under vLLM's names.",
		({ services }) =>
			new Response(services.metrics.render(), {
				headers: { "content-type": METRICS_TYPE },
			}),
	),
];
