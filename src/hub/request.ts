/** One request to the hub and what may go wrong with it: time limits, patience with a busy server, errors that say the mend. */
import { NanoVllmError } from "../errors.ts";
import type { HubSettings } from "./settings.ts";

export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/** What a conversation with the hub needs of the world. */
export interface Hub {
	readonly settings: HubSettings;
	readonly fetch: Fetch;
	/** Rejects with the signal's reason when it aborts. */
	readonly wait: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
}

/** A failure that may pass: worth another try. */
export class Transient extends Error {
	/** What the server asked for; null: it did not say. */
	readonly retryAfterMs: number | null;

	constructor(message: string, retryAfterMs: number | null, cause?: unknown) {
		super(message, { cause });
		this.name = "Transient";
		this.retryAfterMs = retryAfterMs;
	}
}

/** An answer whose body is still to come. `touch` after each piece of it, `stop` at its end. */
export interface Answer {
	readonly response: Response;
	touch(): void;
	stop(): void;
}

/** Tries after the first: with waits of 1, 2, 4, 8 s, 15 s in all. */
export const MAX_RETRIES = 4;
const FIRST_WAIT_MS = 1000;
/** A server that asks for more patience than that has no time for us. */
const MAX_WAIT_MS = 5 * 60 * 1000;

/**
 * Runs `attempt` until it ends with anything but Transient. `tries`: the failed ones so far, which `attempt` may set back when it
 * has got further.
 * @throws download_failed after the last try
 */
export async function withRetries<T>(
	hub: Hub,
	signal: AbortSignal | undefined,
	maxRetries: number,
	attempt: (tries: { count: number }) => Promise<T>,
): Promise<T> {
	const tries = { count: 0 };
	for (;;) {
		try {
			signal?.throwIfAborted();
			return await attempt(tries);
		} catch (error) {
			if (!(error instanceof Transient)) throw aborted(error, signal);
			if (tries.count >= maxRetries)
				throw new NanoVllmError(
					"download_failed",
					`${error.message} Check the connection, then try again: what is already here is kept.`,
					{ cause: error },
				);
			const wait = error.retryAfterMs ?? FIRST_WAIT_MS * 2 ** tries.count;
			tries.count++;
			await hub
				.wait(Math.min(wait, MAX_WAIT_MS), signal)
				.catch((reason) => Promise.reject(aborted(reason, signal)));
		}
	}
}

/** The error, or "aborted" where that is why it came. */
export function aborted(error: unknown, signal?: AbortSignal): unknown {
	if (!signal?.aborted || error instanceof NanoVllmError) return error;
	return new NanoVllmError("aborted", "the download was aborted.", {
		cause: signal.reason,
	});
}

/**
 * One try. A status that is not ok throws, unless `passes` wants to see it.
 * @throws Transient, access_denied, model_not_found, download_failed
 */
export async function ask(
	{ settings, fetch }: Hub,
	url: string,
	init: RequestInit,
	passes: (response: Response) => boolean = ({ status }) => status === 416,
): Promise<Answer> {
	const controller = new AbortController();
	const timeout = new Error(
		`said nothing for ${settings.timeoutMs / 1000} s (HF_HUB_DOWNLOAD_TIMEOUT)`,
	);
	const arm = () =>
		setTimeout(() => controller.abort(timeout), settings.timeoutMs);
	let timer = arm();
	const stop = () => clearTimeout(timer);
	const touch = () => {
		stop();
		timer = arm();
	};
	const signals = [controller.signal, ...(init.signal ? [init.signal] : [])];
	const headers = new Headers(init.headers);
	// The token is for the hub alone; fetch drops it when a redirect leaves the origin.
	if (settings.token !== null && url.startsWith(`${settings.endpoint}/`))
		headers.set("Authorization", `Bearer ${settings.token}`);
	try {
		const signal = AbortSignal.any(signals);
		const response = await fetch(url, { ...init, headers, signal });
		touch();
		if (!response.ok && !passes(response))
			throw await refusal(url, response, settings);
		return { response, touch, stop };
	} catch (error) {
		stop();
		if (error instanceof NanoVllmError || error instanceof Transient)
			throw error;
		init.signal?.throwIfAborted();
		throw unreachable(url, error);
	}
}

/** A fetch for small answers: the whole body in memory, tried again until it has come. */
export function patientFetch(
	hub: Hub,
	signal: AbortSignal | undefined,
	maxRetries = MAX_RETRIES,
): Fetch {
	return (url, init = {}) => {
		const signals = [signal, init.signal].filter((s) => s != null);
		const either = signals.length === 0 ? undefined : AbortSignal.any(signals);
		return withRetries(hub, either, maxRetries, async () => {
			const all = { ...init, signal: either };
			const { response, stop } = await ask(hub, url, all, isAnswer);
			try {
				const { status, statusText, headers } = response;
				const body = await response.arrayBuffer();
				return new Response(body, { status, statusText, headers });
			} catch (error) {
				either?.throwIfAborted();
				throw unreachable(url, error);
			} finally {
				stop();
			}
		});
	};
}

/** For who reads files in place, that there is no such file, or no such part of it, is an answer. */
const isAnswer = ({ status, headers }: Response): boolean =>
	status === 416 ||
	(status === 404 && headers.get("X-Error-Code") === "EntryNotFound");

/** Nobody there, or the connection was cut. */
export function unreachable(url: string, cause: unknown): Transient {
	const { host } = new URL(url);
	return new Transient(
		`${host}: no answer, or a cut one (${reasonOf(cause)}).`,
		null,
		cause,
	);
}

/** fetch says "fetch failed" and hides why. */
function reasonOf(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	const { cause } = error;
	if (!(cause instanceof Error)) return error.message;
	return (cause as { code?: string }).code ?? cause.message;
}

/** …/ORG/NAME/resolve/REVISION/FILE, and the same of the API. */
const PLACE = /\/([^/]+\/[^/]+)\/(?:resolve|revision|tree)\/([^/]+)\/?(.*)$/;

/** What a status means; the hub says more in X-Error-Code and X-Error-Message. */
async function refusal(
	url: string,
	response: Response,
	{ token, endpoint }: HubSettings,
): Promise<NanoVllmError | Transient> {
	await response.body?.cancel().catch(() => {});
	const { status, headers } = response;
	const [, repo = url, revision = "", file = ""] =
		PLACE.exec(new URL(url).pathname)?.map(decodeURIComponent) ?? [];
	const code = headers.get("X-Error-Code");
	const says = headers.get("X-Error-Message") ?? "";
	const has = token === null ? "no token is set" : "the token that is set";
	if (status === 429 || status === 408 || status >= 500)
		return new Transient(
			`${endpoint} answered ${status} for ${repo}.`,
			retryAfterMs(headers),
		);
	if (code === "GatedRepo")
		return new NanoVllmError(
			"access_denied",
			`${repo} is gated: its authors want their terms accepted first, and ${token === null ? has : `${has} belongs to an account that has not been let in`}. Accept them at ${endpoint}/${repo}, make a token at ${endpoint}/settings/tokens, and set HF_TOKEN to it.`,
		);
	if (/invalid credentials/i.test(says))
		return new NanoVllmError(
			"access_denied",
			`${endpoint} does not know the token. Make a new one at ${endpoint}/settings/tokens and set HF_TOKEN to it, or unset it for public models.`,
		);
	if (code === "RevisionNotFound")
		return new NanoVllmError(
			"model_not_found",
			`${repo} has no revision ${JSON.stringify(revision)}: no branch, tag or commit has that name. Look at ${endpoint}/${repo}.`,
		);
	if (code === "EntryNotFound" || (status === 404 && file !== ""))
		return new NanoVllmError(
			"model_not_found",
			`${repo} has no file ${file} at ${revision}. Look at ${endpoint}/${repo}/tree/${revision}.`,
		);
	if (code === "RepoNotFound" || status === 401 || status === 404)
		return new NanoVllmError(
			"model_not_found",
			`${endpoint} has no model ${repo}, or it is private and ${token === null ? has : `${has} may not see it`}. Check the name; for a private model set HF_TOKEN.`,
		);
	if (status === 403)
		return new NanoVllmError(
			"access_denied",
			`${endpoint} refuses ${repo}${says === "" ? "" : ` (${says})`}. Give a token that may read it in HF_TOKEN.`,
		);
	return new NanoVllmError(
		"download_failed",
		`${url}: wanted an answer with status 200, got ${status}${says === "" ? "" : ` (${says})`}. Check HF_ENDPOINT and the name of the model.`,
	);
}

/** Retry-After in seconds or as a date, or the seconds t that the hub's RateLimit header tells. */
function retryAfterMs(headers: Headers): number | null {
	const header = headers.get("Retry-After")?.trim() ?? "";
	if (/^\d+$/.test(header)) return Number(header) * 1000;
	const date = Date.parse(header);
	if (!Number.isNaN(date)) return Math.max(0, date - Date.now());
	const limit = /\bt=(\d+)/.exec(headers.get("RateLimit") ?? "");
	return limit === null ? null : Number(limit[1]) * 1000;
}
