/**
 * The server: an OpenAI-compatible API, with vLLM's additions, over one LLM. A function from Request to Response, so it runs wherever
 * there is fetch; sockets and signals are its caller's. Answers where vLLM answers, counts what vLLM counts.
 */
import { Hono } from "hono";
import { corsHeaders, createKeyCheck, preflight } from "./access.ts";
import { Admission } from "./admission.ts";
import { ApiError, toApiError } from "./api-error.ts";
import type { ServedEngine } from "./engine.ts";
import type { Call, Services } from "./generation.ts";
import { requestIdOf } from "./ids.ts";
import { closeInspector, createInspector } from "./inspector.ts";
import { createServerMetrics } from "./metrics.ts";
import { openApiDocument } from "./openapi.ts";
import { resolveServerOptions, type ServerOptions } from "./options.ts";
import { createPromptReader } from "./prompts.ts";
import { ROUTES, type Route } from "./routes.ts";
import { webResponse } from "./web-app.ts";

export interface ServerApp {
	/** Never rejects: what goes wrong is a Response too. */
	fetch(request: Request): Promise<Response>;
	/** Health fails, nothing new is taken, what runs may end; resolves when nothing runs, soon after `graceMs` at the latest. */
	drain(graceMs: number): Promise<void>;
}

/** What a handler gets through Hono. */
type Env = { Bindings: { call: Call; checkKey: () => Promise<void> } };

/** @throws invalid_option */
export function createApp(
	engine: ServedEngine,
	given: Partial<ServerOptions> = {},
): ServerApp {
	const services = createServices(engine, resolveServerOptions(given));
	const { admission, options } = services;
	const router = createRouter(services);
	const checkKey = createKeyCheck(options.apiKey);
	return {
		async fetch(request) {
			if (request.method === "OPTIONS")
				return preflight(request, options.allowedOrigins);
			const call = createCall(services, request);
			const answer = await router.fetch(request, {
				call,
				checkKey: () => checkKey(request.headers),
			});
			const origin = request.headers.get("origin");
			const cors = corsHeaders(origin, options.allowedOrigins) ?? {};
			for (const [name, value] of Object.entries(cors))
				answer.headers.set(name, value);
			answer.headers.set("x-request-id", call.requestId);
			return answer;
		},
		drain(graceMs) {
			closeInspector(services.inspector);
			return admission.drain(graceMs);
		},
	};
}

function createServices(
	engine: ServedEngine,
	options: ServerOptions,
): Services {
	const { servedModelName, maxQueue, requestTimeout, now } = options;
	const names =
		servedModelName.length > 0 ? servedModelName : [engine.modelName];
	const metrics = createServerMetrics(engine, names[0], now);
	const admission = new Admission(engine, {
		maxQueue,
		requestTimeout,
		onRejected: metrics.rejected,
	});
	return {
		engine,
		options,
		metrics,
		admission,
		prompts: createPromptReader(engine),
		inspector: createInspector(engine, options),
		modelNames: names,
		startedAt: Math.floor(now() / 1000),
	};
}

/** A request with its id, and a log line for its end. */
function createCall(services: Services, request: Request): Call {
	const { log, now } = services.options;
	const requestId = requestIdOf(request.headers);
	const startedMs = now();
	const { method } = request;
	const { pathname: path } = new URL(request.url);
	return {
		services,
		request,
		requestId,
		created: Math.floor(startedMs / 1000),
		onEnd(fields, error) {
			const ms = now() - startedMs;
			const line = { requestId, method, path, ms, ...fields };
			if (error === null) return log.info({ status: 200, ...line }, "done");
			const { status, code, message, cause } = error;
			const failed = { ...line, status, code, error: message };
			if (status < 500) return log.info(failed, "refused");
			log.error(
				{ ...failed, ...(cause !== undefined && { err: cause }) },
				"failed",
			);
		},
	};
}

function createRouter(services: Services): Hono<Env> {
	const router = new Hono<Env>();
	const document = openApiDocument(ROUTES, services.options.version);
	router.get("/openapi.json", () => Response.json(document));
	for (const route of ROUTES) addRoute(router, route);
	for (const path of new Set(ROUTES.map((route) => route.path)))
		router.all(path, ({ req }) => {
			throw wrongMethod(req.method, req.path, path);
		});
	const { webFiles } = services.options;
	router.notFound(async ({ req, env }) => {
		const file = webFiles && (await webResponse(req.raw, webFiles));
		if (file) return file;
		const message = `there is no ${req.method} ${req.path}.`;
		const error = new ApiError(404, message, { code: "not_found" });
		env.call.onEnd({}, error);
		return error.toResponse();
	});
	router.onError((cause, { env }) => {
		const error = toApiError(cause);
		env.call.onEnd({}, error);
		return error.toResponse();
	});
	return router;
}

function addRoute(router: Hono<Env>, route: Route): void {
	router.on(route.method, route.path, async ({ env, req }) => {
		if (!route.isOpen) await env.checkKey();
		return route.handle(env.call, req.param());
	});
}

function wrongMethod(method: string, at: string, path: string): ApiError {
	const allow = ROUTES.filter((route) => route.path === path)
		.map((route) => route.method)
		.join(", ");
	return new ApiError(405, `${at} takes ${allow}, not ${method}.`, {
		code: "method_not_allowed",
		headers: { allow },
	});
}
