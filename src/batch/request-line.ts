/** One line of an OpenAI batch file → a request, or what is wrong with it. What the body may say is the server's to check. */

export const URLS = ["/v1/chat/completions", "/v1/completions"] as const;
/** Characters of a custom_id; OpenAI takes 64 or more, databases' keys may be longer. */
export const MAX_ID_LENGTH = 512;
/** Characters of a prompt that decide which neighbours it gets. */
const KEY_LENGTH = 4096;

export interface BatchRequest {
	readonly line: number;
	readonly customId: string;
	readonly url: (typeof URLS)[number];
	/** JSON. */
	readonly body: string;
	/** How the prompt begins: requests with alike keys share blocks of the prefix cache. */
	readonly key: string;
	/** Sequences it will run. */
	readonly numSequences: number;
	readonly numBytes: number;
}

/** A line that never became a request. */
export interface BadLine {
	readonly line: number;
	/** null where there is none to be read. */
	readonly customId: string | null;
	readonly code: string;
	readonly message: string;
}

export type ParsedLine =
	| { readonly kind: "request"; readonly request: BatchRequest }
	| { readonly kind: "bad"; readonly bad: BadLine };

type Fields = Readonly<Record<string, unknown>>;

/** Everything but whether the id came before. */
export function parseRequestLine(
	line: number,
	text: string,
	numBytes: number,
): ParsedLine {
	let customId: string | null = null;
	const bad = (code: string, message: string): ParsedLine => ({
		kind: "bad",
		bad: { line, customId, code, message },
	});
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch (error) {
		return bad("invalid_json", `not JSON: ${(error as Error).message}`);
	}
	if (!isObject(value))
		return bad(
			"invalid_line",
			"wanted an object {custom_id, method, url, body}.",
		);
	const { custom_id: id, method, url, body } = value;
	if (typeof id !== "string" || id === "" || id.length > MAX_ID_LENGTH)
		return bad(
			"invalid_custom_id",
			`custom_id must be a text of 1 to ${MAX_ID_LENGTH} characters, got ${shown(id)}.`,
		);
	customId = id;
	if (method !== "POST")
		return bad(
			"invalid_method",
			`method must be "POST", got ${shown(method)}.`,
		);
	const known = URLS.find((each) => each === url);
	if (known === undefined)
		return bad(
			"invalid_url",
			`url must be ${URLS.join(" or ")}, got ${shown(url)}.`,
		);
	if (!isObject(body))
		return bad("invalid_body", `body must be an object, got ${shown(body)}.`);
	if (body.stream === true)
		return bad(
			"stream_not_supported",
			"a batch answers whole: leave stream out of the body.",
		);
	const request = {
		line,
		customId: id,
		url: known,
		body: JSON.stringify(body),
		key: keyOf(body),
		numSequences: numSequencesOf(body),
		numBytes,
	};
	return { kind: "request", request };
}

const isObject = (value: unknown): value is Fields =>
	typeof value === "object" && value !== null && !Array.isArray(value);

function shown(value: unknown): string {
	const text = value === undefined ? "nothing" : JSON.stringify(value);
	return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** The prompt as it begins, in any notation that is the same where prompts are: tools come before messages in templates. */
function keyOf({ messages, prompt, tools }: Fields): string {
	if (typeof prompt === "string") return prompt.slice(0, KEY_LENGTH);
	const parts = prompt === undefined ? [tools ?? null, messages] : [prompt];
	return (JSON.stringify(parts) ?? "").slice(0, KEY_LENGTH);
}

function numSequencesOf({ n, prompt }: Fields): number {
	const isMany = Array.isArray(prompt) && typeof prompt[0] !== "number";
	const numPrompts = isMany ? Math.max(1, prompt.length) : 1;
	return numPrompts * (Number.isSafeInteger(n) ? Math.max(1, Number(n)) : 1);
}
