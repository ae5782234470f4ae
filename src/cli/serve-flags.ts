/** The server's options as flags, in vLLM's spelling. */
import {
	REASONING_PARSERS,
	SERVER_DEFAULTS,
	type ServerOptions,
	TOOL_CALL_PARSERS,
} from "../server/options.ts";
import type { Flag } from "./flags.ts";
import { collect, parseCount, parseNumber } from "./values.ts";

/** Where to listen, and how to end. */
export interface ListenOptions {
	readonly host: string;
	readonly port: number;
	/** A Unix socket in place of host and port; null: none. */
	readonly uds: string | null;
	/** Seconds that running requests have to end after SIGTERM. */
	readonly shutdownTimeout: number;
}

export const LISTEN_DEFAULTS: Readonly<ListenOptions> = {
	host: "127.0.0.1",
	port: 8000,
	uds: null,
	shutdownTimeout: 30,
};

export const LISTEN_FLAGS: Readonly<Record<keyof ListenOptions, Flag>> = {
	host: { about: "address to listen on; 0.0.0.0 for all", value: "address" },
	port: { about: "0: any that is free", value: "n", parse: parseCount },
	uds: { about: "listen on a Unix socket instead", value: "path" },
	shutdownTimeout: {
		about: "seconds running requests have to end after SIGTERM",
		value: "seconds",
		parse: parseNumber,
	},
};

type ServerFlags = Omit<ServerOptions, "log" | "now" | "version" | "webFiles">;

export const SERVER_FLAGS: Readonly<Record<keyof ServerFlags, Flag>> = {
	servedModelName: {
		about:
			"name in requests and metrics; may come again (default: the model's)",
		value: "name",
		parse: collect,
	},
	apiKey: {
		about: "key to ask for; may come again (or NANO_VLLM_API_KEY)",
		value: "key",
		parse: collect,
	},
	allowedOrigins: {
		about: "origin of web pages that may call, or *; may come again",
		value: "origin",
		parse: collect,
	},
	maxBodyBytes: {
		about: "largest body read, e.g. 8M",
		value: "bytes",
		parse: parseCount,
	},
	maxQueue: {
		about: "sequences that may wait before requests get 503",
		value: "n",
		parse: parseCount,
	},
	requestTimeout: {
		about: "seconds a request may take",
		value: "seconds",
		parse: parseNumber,
	},
	enableAutoToolChoice: { about: "let the model decide to call tools" },
	toolCallParser: {
		about: "how the model writes its calls",
		choices: TOOL_CALL_PARSERS,
	},
	reasoningParser: {
		about: "split off what the model thinks",
		choices: REASONING_PARSERS,
	},
	allowRuntimeLoraUpdating: {
		about: "let requests load and unload adapters: /v1/load_lora_adapter",
	},
	enableInspector: {
		about:
			"show callers the engine live, /inspector/events: everybody's token ids",
	},
	enableInspectorControl: {
		about: "let callers pause and step it: /inspector/pause, resume, step",
	},
	logRequests: {
		name: "enable-log-requests",
		about: "log the bodies of requests: they are people's words",
	},
};

/** What help says where a flag is left out. */
export const SERVER_FLAG_DEFAULTS: Readonly<Record<string, unknown>> = {
	...SERVER_DEFAULTS,
	servedModelName: null,
	apiKey: null,
	allowedOrigins: null,
};
