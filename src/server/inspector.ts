/**
 * The engine, watched and stopped over HTTP: its events as a stream, pause, resume, step. Off unless asked for: events hold the token ids
 * of everybody's prompts, and a paused engine answers nobody.
 */
import type { LLM } from "../index.ts";
import { ApiError, unavailable } from "./api-error.ts";
import type { ServedEngine } from "./engine.ts";
import { createFeed, type EventFeed } from "./event-feed.ts";
import type { Call } from "./generation.ts";
import { MAX_INSPECTORS } from "./limits.ts";
import type { ServerOptions } from "./options.ts";

type Observable = Pick<LLM, "observe" | "pause" | "resume" | "step"> & {
	readonly isPaused: boolean;
};

/** What is watched, and by whom; null: nobody may. */
export interface Inspector {
	readonly engine: Observable;
	readonly feeds: Set<EventFeed>;
}

export function createInspector(
	engine: ServedEngine,
	{ enableInspector }: ServerOptions,
): Inspector | null {
	const { observe, pause, resume, step } = engine;
	if (!enableInspector || !observe || !pause || !resume || !step) return null;
	return {
		feeds: new Set(),
		engine: {
			observe: (listener) => observe.call(engine, listener),
			pause: () => pause.call(engine),
			resume: () => resume.call(engine),
			step: () => step.call(engine),
			get isPaused() {
				return engine.isPaused ?? false;
			},
		},
	};
}

/** Ends every stream of events. */
export function closeInspector(inspector: Inspector | null): void {
	for (const feed of [...(inspector?.feeds ?? [])]) feed.close();
}

const HEADERS = {
	"content-type": "text/event-stream; charset=utf-8",
	"cache-control": "no-store",
	"x-accel-buffering": "no",
};

/** @throws ApiError 404 where it is off, 503 where too many watch */
export function engineEvents(call: Call): Response {
	const { engine, feeds } = inspectorOf(call);
	const { services, request } = call;
	if (services.admission.isDraining)
		throw unavailable("this server is shutting down.", "shutting_down");
	if (feeds.size >= MAX_INSPECTORS)
		throw unavailable(
			`${feeds.size} inspectors watch already, as many as may.`,
			"too_many_inspectors",
		);
	if (request.method === "HEAD")
		return new Response(null, { headers: HEADERS });
	const feed: EventFeed = createFeed({
		observe: engine.observe,
		signal: request.signal,
		failure: () => services.engine.failure,
		onEnd: () => {
			feeds.delete(feed);
			call.onEnd({ isStream: true }, null);
		},
	});
	feeds.add(feed);
	return new Response(feed.body, { headers: HEADERS });
}

/** Schedules nothing more. @throws ApiError 403, 404 */
export async function pauseEngine(call: Call): Promise<Response> {
	const { engine } = controlOf(call);
	await engine.pause();
	return stateOf(call, engine);
}

export async function resumeEngine(call: Call): Promise<Response> {
	const { engine } = controlOf(call);
	await engine.resume();
	return stateOf(call, engine);
}

/** One step of a paused engine. @throws ApiError 409 where it is not paused */
export async function stepEngine(call: Call): Promise<Response> {
	const { engine } = controlOf(call);
	await engine.step();
	return stateOf(call, engine);
}

function stateOf(
	{ services, onEnd }: Call,
	{ isPaused }: Observable,
): Response {
	onEnd({ isPaused }, null);
	const { numSteps } = services.engine.stats();
	return Response.json({ is_paused: isPaused, num_steps: numSteps });
}

/** @throws ApiError 404 */
function inspectorOf({ services }: Call): Inspector {
	if (services.inspector !== null) return services.inspector;
	throw new ApiError(
		404,
		"the inspector is off: its events hold the token ids of all prompts. Start the server with --enable-inspector.",
		{ code: "inspector_disabled" },
	);
}

/** @throws ApiError 403 where the engine may not be stopped from here, 404 */
function controlOf(call: Call): Inspector {
	const inspector = inspectorOf(call);
	const { enableInspectorControl, allowedOrigins } = call.services.options;
	if (!enableInspectorControl)
		throw new ApiError(
			403,
			"this server's engine may be watched and not stopped: a paused engine answers nobody. Start the server with --enable-inspector-control.",
			{ code: "inspector_control_disabled" },
		);
	if (!isOwnPage(call.request, allowedOrigins))
		throw new ApiError(
			403,
			"a page of another site may not stop this engine. Name its origin in --allowed-origins.",
			{ code: "origin_not_allowed" },
		);
	return inspector;
}

/** Browsers let any page send a POST without a body, though not read the answer. Proxies change the scheme: hosts are compared. */
function isOwnPage(
	{ headers, url }: Request,
	allowed: readonly string[],
): boolean {
	const origin = headers.get("origin");
	if (origin === null || allowed.includes("*") || allowed.includes(origin))
		return true;
	return URL.parse(origin)?.host === new URL(url).host;
}
