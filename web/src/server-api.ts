/** Requests to one server: its address, its key, and its errors in words that say what to do. Knows no endpoint. */
import { eventData } from "./sse.ts";

export interface ServerAddress {
	/** Where its /v1 lies. */
	readonly address: string;
	/** "": none. */
	readonly apiKey: string;
}

/** What a server refused, and with which status; null: nothing answered. */
export class ServerError extends Error {
	readonly status: number | null;

	constructor(status: number | null, message: string) {
		super(message);
		this.name = "ServerError";
		this.status = status;
	}
}

export interface ServerApi {
	/** @throws ServerError; the signal's reason when aborted */
	get(path: string, signal?: AbortSignal): Promise<unknown>;
	post(path: string, body: object, signal?: AbortSignal): Promise<unknown>;
	/** The JSON of each event, "[DONE]" and comments left out. A body makes it a POST. */
	events(
		path: string,
		body: object | null,
		signal: AbortSignal,
	): AsyncGenerator<unknown, void, void>;
}

/** "http://host:8000", ".../v1", with or without a slash at the end → where /v1 lies. */
export function baseOf(address: string): string {
	return address.trim().replace(/\/+$/, "").replace(/\/v1$/, "");
}

export function createServerApi({ address, apiKey }: ServerAddress): ServerApi {
	const base = baseOf(address);
	const send = (path: string, body: object | null, signal?: AbortSignal) =>
		request(base, path, {
			method: body === null ? "GET" : "POST",
			headers: {
				...(apiKey !== "" && { authorization: `Bearer ${apiKey}` }),
				...(body !== null && { "content-type": "application/json" }),
			},
			body: body === null ? null : JSON.stringify(body),
			signal,
		});
	return {
		get: async (path, signal) => jsonOf(await send(path, null, signal)),
		post: async (path, body, signal) => jsonOf(await send(path, body, signal)),
		async *events(path, body, signal) {
			const response = await send(path, body, signal);
			if (response.body === null) return;
			try {
				for await (const data of eventData(response.body)) {
					if (data === "[DONE]") return;
					yield JSON.parse(data);
				}
			} catch (error) {
				signal.throwIfAborted();
				throw new ServerError(
					null,
					`the connection to ${base} was cut (${(error as Error).message}). Try again.`,
				);
			}
		},
	};
}

async function request(
	base: string,
	path: string,
	init: RequestInit,
): Promise<Response> {
	let response: Response;
	try {
		response = await fetch(base + path, init);
	} catch {
		init.signal?.throwIfAborted();
		throw new ServerError(null, unreachable(base));
	}
	if (response.ok) return response;
	throw await refusal(base + path, response);
}

function unreachable(base: string): string {
	const isMixed =
		location.protocol === "https:" &&
		/^http:\/\/(?!localhost|127\.|\[::1\])/.test(base);
	const mend = isMixed
		? "A page served over https may not call it over http: put the server behind https."
		: `Check that it runs, that the address is right, and that it allows this page (--allowed-origins ${location.origin}).`;
	return `${base} does not answer. ${mend}`;
}

async function refusal(url: string, response: Response): Promise<ServerError> {
	const { status } = response;
	const text = await response.text().catch(() => "");
	const said = messageIn(text) ?? text.slice(0, 200);
	if (status === 401)
		return new ServerError(
			status,
			`${said || "the server wants an API key."} Set the key in the settings.`,
		);
	if (status === 404 && said === "")
		return new ServerError(status, `${url} is not there. Check the address.`);
	return new ServerError(status, said || `${url} answered ${status}.`);
}

function messageIn(text: string): string | null {
	try {
		const { error, message } = JSON.parse(text);
		return error?.message ?? message ?? null;
	} catch {
		return null;
	}
}

async function jsonOf(response: Response): Promise<unknown> {
	const text = await response.text();
	if (text === "") return null;
	try {
		return JSON.parse(text);
	} catch {
		throw new ServerError(
			response.status,
			`${response.url}: wanted JSON, got "${text.slice(0, 40)}". Is this the address of an OpenAI-compatible server?`,
		);
	}
}
