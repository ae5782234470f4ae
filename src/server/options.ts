/** What a server is told besides its engine: one table of defaults, one validation. Knows no HTTP. */
import { show } from "../config.ts";
import { NanoVllmError } from "../errors.ts";
import type { WebFiles } from "./web-app.ts";

export interface Logger {
	info(fields: object, message: string): void;
	warn(fields: object, message: string): void;
	error(fields: object, message: string): void;
}

export const TOOL_CALL_PARSERS = ["hermes", "llama3_json"] as const;
export type ToolCallParserName = (typeof TOOL_CALL_PARSERS)[number];
export const REASONING_PARSERS = ["qwen3"] as const;
export type ReasoningParserName = (typeof REASONING_PARSERS)[number];

export interface ServerOptions {
	/** Names a request may call the model by; the first is the one in answers and metrics. Empty: the model's own name. */
	servedModelName: readonly string[];
	/** Any of them opens everything under /v1 and the tokenizer; empty: no key is asked for. */
	apiKey: readonly string[];
	/** Origins of web pages that may call; "*" for all. */
	allowedOrigins: readonly string[];
	maxBodyBytes: number;
	/** Sequences waiting beyond those that run before a request is refused with 503; null: no bound. */
	maxQueue: number | null;
	/** Seconds a request may take, its wait included; null: no bound. */
	requestTimeout: number | null;
	/** Let the model decide to call tools where tool_choice is auto. */
	enableAutoToolChoice: boolean;
	toolCallParser: ToolCallParserName | null;
	reasoningParser: ReasoningParserName | null;
	/** Serve /v1/load_lora_adapter and /v1/unload_lora_adapter: whoever may call may have any folder or address read. */
	allowRuntimeLoraUpdating: boolean;
	/** Serve /inspector/events: whoever may call sees the token ids of everybody's prompts and answers. */
	enableInspector: boolean;
	/** Serve /inspector/pause, resume and step: whoever may call may stop the engine for everybody. */
	enableInspectorControl: boolean;
	/** Log the bodies of requests too: they are people's words. */
	logRequests: boolean;
	/** As /version says. */
	version: string;
	/** The web app's files, for /; null: none. */
	webFiles: WebFiles | null;
	log: Logger;
	/** Milliseconds since 1970. */
	now: () => number;
}

const SILENT: Logger = { info() {}, warn() {}, error() {} };

export const SERVER_DEFAULTS: Readonly<ServerOptions> = {
	servedModelName: [],
	apiKey: [],
	allowedOrigins: [],
	maxBodyBytes: 8 * 1024 * 1024,
	maxQueue: 1024,
	requestTimeout: 600,
	enableAutoToolChoice: false,
	toolCallParser: null,
	reasoningParser: null,
	allowRuntimeLoraUpdating: false,
	enableInspector: false,
	enableInspectorControl: false,
	logRequests: false,
	version: "0.0.0",
	webFiles: null,
	log: SILENT,
	now: Date.now,
};

/** setTimeout takes no more than 2^31 - 1 ms. */
const MAX_TIMEOUT_S = 2_000_000;

/** @throws invalid_option */
export function resolveServerOptions(
	given: Partial<ServerOptions>,
): ServerOptions {
	const options = { ...SERVER_DEFAULTS };
	for (const [key, value] of Object.entries(given))
		if (value !== undefined) Object.assign(options, { [key]: value });
	const { maxBodyBytes, maxQueue, requestTimeout } = options;
	check("servedModelName", options.servedModelName, isNames, "non-empty names");
	check("apiKey", options.apiKey, isNames, "non-empty keys");
	check(
		"allowedOrigins",
		options.allowedOrigins,
		isOrigins,
		'"*" or origins like https://example.org',
	);
	check(
		"maxBodyBytes",
		maxBodyBytes,
		(v) => isInt(v, 1024, 2 ** 29),
		"bytes from 1024 to 2^29",
	);
	check(
		"maxQueue",
		maxQueue,
		(v) => v === null || isInt(v, 0, 2 ** 31),
		"an integer of at least 0, or null",
	);
	check(
		"requestTimeout",
		requestTimeout,
		(v) => v === null || (typeof v === "number" && v > 0 && v <= MAX_TIMEOUT_S),
		`seconds above 0 and at most ${MAX_TIMEOUT_S}, or null`,
	);
	checkParser("toolCallParser", options.toolCallParser, TOOL_CALL_PARSERS);
	checkParser("reasoningParser", options.reasoningParser, REASONING_PARSERS);
	if (options.enableAutoToolChoice && options.toolCallParser === null)
		throw new NanoVllmError(
			"invalid_option",
			`enableAutoToolChoice wants a toolCallParser that knows how the model writes its calls: ${TOOL_CALL_PARSERS.join(" or ")}.`,
		);
	if (options.enableInspectorControl && !options.enableInspector)
		throw new NanoVllmError(
			"invalid_option",
			"enableInspectorControl stops what enableInspector shows: give both.",
		);
	return options;
}

const isInt = (value: unknown, low: number, high: number): boolean =>
	Number.isSafeInteger(value) &&
	(value as number) >= low &&
	(value as number) <= high;

const isNames = (value: unknown): boolean =>
	Array.isArray(value) &&
	value.every((name) => typeof name === "string" && name.trim() !== "");

const isOrigins = (value: unknown): boolean =>
	isNames(value) &&
	(value as string[]).every(
		(origin) => origin === "*" || URL.parse(origin)?.origin === origin,
	);

function check(
	name: string,
	value: unknown,
	holds: (value: unknown) => boolean,
	wanted: string,
): void {
	if (holds(value)) return;
	throw new NanoVllmError(
		"invalid_option",
		`${name} must be ${wanted}, got ${show(value)}.`,
	);
}

function checkParser(
	name: string,
	value: unknown,
	known: readonly string[],
): void {
	const holds = (v: unknown) => v === null || known.includes(v as string);
	check(name, value, holds, `one of ${known.join(", ")}, or null`);
}
