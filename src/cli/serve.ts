/** nano-vllm serve: an OpenAI-compatible server over one model, until it is told to end. */
import { basename } from "node:path";
import type { Command } from "commander";
import type { EngineConfig } from "../config.ts";
import { NanoVllmError } from "../errors.ts";
import { resolveServerOptions, type ServerOptions } from "../server/options.ts";
import { addLoraModules, type NamedLora, namedAdapters } from "./adapters.ts";
import { addEngineFlags, engineOptions } from "./engine-flags.ts";
import { addFlags, givenFlags } from "./flags.ts";
import { addModelFlag, chosenModel, packageVersion } from "./model.ts";
import {
	LISTEN_DEFAULTS,
	LISTEN_FLAGS,
	type ListenOptions,
	SERVER_FLAG_DEFAULTS,
	SERVER_FLAGS,
} from "./serve-flags.ts";
import { addWebFlags, chosenWebFiles } from "./web-files.ts";

const EXAMPLES = `
Examples:
  nano-vllm serve Qwen/Qwen3-0.6B --enable-auto-tool-choice --tool-call-parser hermes --reasoning-parser qwen3
  nano-vllm serve ./my-model --host 0.0.0.0 --api-key "$KEY" --served-model-name my-model
  nano-vllm serve ./my-model --lora-modules sql=./sql-adapter --lora-modules chat=ORG/NAME
  curl localhost:8000/v1/completions -H 'Content-Type: application/json' -d '{"prompt": "Once upon a time"}'
`;

interface Options extends Readonly<Record<string, unknown>> {
	readonly model?: string;
	readonly web?: string | boolean;
}

export function addServe(program: Command): void {
	const command = program
		.command("serve [model]")
		.description("an OpenAI-compatible server, as vLLM's")
		.addHelpText("after", EXAMPLES)
		.action((model: string | undefined, options: Options) =>
			serve(chosenModel(model, options.model), options),
		);
	addModelFlag(command);
	addLoraModules(command);
	addFlags(command, "Where:", LISTEN_FLAGS, { ...LISTEN_DEFAULTS });
	addFlags(command, "Server options:", SERVER_FLAGS, SERVER_FLAG_DEFAULTS);
	addWebFlags(command);
	addEngineFlags(command);
}

async function serve(model: string, options: Options): Promise<void> {
	const where = listenOptions(options);
	const given = {
		...serverOptions(model, options),
		webFiles: chosenWebFiles(options),
	};
	const adapters = namedAdapters(options);
	const engine = adapters.withRoom(engineOptions(options));
	// Wrong ones are told before a model is loaded.
	checkAdapters(adapters.requests, resolveServerOptions(given), engine);
	// The other commands need not wait for what a server is made of.
	const { runServer } = await import("./server-process.ts");
	await runServer(model, engine, adapters.requests, given, where);
}

/** @throws invalid_option */
function checkAdapters(
	adapters: readonly NamedLora[],
	{ allowRuntimeLoraUpdating, servedModelName }: ServerOptions,
	{ enableLora }: Partial<EngineConfig>,
): void {
	const taken = adapters.find(({ name }) => servedModelName.includes(name));
	if (taken !== undefined)
		throw new NanoVllmError(
			"invalid_option",
			`--lora-modules: ${JSON.stringify(taken.name)} is the model's own name here. Give the adapter, or with --served-model-name the model, another.`,
		);
	if (!enableLora && (allowRuntimeLoraUpdating || adapters.length > 0))
		throw new NanoVllmError(
			"invalid_option",
			"adapters need room that is made when the model is loaded: add --enable-lora.",
		);
}

/** @throws invalid_option */
function listenOptions(options: Options): ListenOptions {
	const given = givenFlags<ListenOptions>(LISTEN_FLAGS, options);
	const where = { ...LISTEN_DEFAULTS, ...given };
	if (where.port < 0 || where.port > 65_535)
		throw new NanoVllmError(
			"invalid_option",
			`--port must be from 0 to 65535, got ${where.port}.`,
		);
	if (where.shutdownTimeout < 0 || where.shutdownTimeout > 86_400)
		throw new NanoVllmError(
			"invalid_option",
			`--shutdown-timeout must be seconds from 0 to 86400, got ${where.shutdownTimeout}.`,
		);
	return where;
}

/** A key in the environment is in no list of processes. */
function serverOptions(
	model: string,
	options: Options,
): Partial<ServerOptions> {
	const given = givenFlags<ServerOptions>(SERVER_FLAGS, options);
	const { NANO_VLLM_API_KEY: key } = process.env;
	const isId = /^[\w.-]+\/[\w.-]+/.test(model);
	return {
		servedModelName: [isId ? model : basename(model)],
		...(key && { apiKey: [key] }),
		...given,
		version: packageVersion(),
	};
}
