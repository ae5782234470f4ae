/** LoRA adapters on the command line: --lora-modules names folders as vLLM's does, --lora says which one answers. Knows no engine. */
import type { Command } from "commander";
import type { EngineConfig } from "../config.ts";
import { NanoVllmError } from "../errors.ts";
import type { LoraRequest } from "../index.ts";
import { collect } from "./values.ts";

/** An adapter of the command line: its path is a text. */
export interface NamedLora extends LoraRequest {
	readonly path: string;
}

export interface NamedAdapters {
	/** The adapter of that name; of none: what --lora says, else the first. null where there are no adapters. @throws invalid_option */
	request(name?: string): LoraRequest | null;
	/** All of them. */
	readonly requests: readonly NamedLora[];
	/** With room for all of them, where the options do not say how many. */
	withRoom(options: Partial<EngineConfig>): Partial<EngineConfig>;
}

export const addLoraModules = (command: Command): Command =>
	command.option(
		"--lora-modules <name=path>",
		"a LoRA adapter: a PEFT folder, a URL or ORG/NAME on the hub; again for each",
		collect,
	);

export const addLoraFlags = (command: Command): Command =>
	addLoraModules(command).option(
		"--lora <name>",
		'which adapter to go through (default: the first; a line of JSON Lines may say "lora")',
	);

/** @throws invalid_option */
export function namedAdapters(
	options: Readonly<Record<string, unknown>>,
): NamedAdapters {
	const given = (options.loraModules ?? []) as readonly string[];
	const adapters = new Map(given.map(parseModule));
	const names = given.map((text) => parseModule(text)[0]);
	const twice = names.find((name, i) => names.indexOf(name) < i);
	if (twice !== undefined)
		throw new NanoVllmError(
			"invalid_option",
			`--lora-modules names ${JSON.stringify(twice)} twice. Give one of them another name.`,
		);
	const request = (name?: string): LoraRequest | null => {
		const chosen = name ?? (options.lora as string | undefined);
		const [first = null] = adapters.values();
		if (chosen === undefined) return first;
		const adapter = adapters.get(chosen);
		if (adapter !== undefined) return adapter;
		throw new NanoVllmError(
			"invalid_option",
			`there is no adapter ${JSON.stringify(chosen)}. Name its folder: --lora-modules ${chosen}=PATH.`,
		);
	};
	request(); // a wrong --lora is told before a model is loaded
	return {
		request,
		requests: [...adapters.values()],
		withRoom: (engine) =>
			adapters.size === 0
				? engine
				: { enableLora: true, maxLoras: adapters.size, ...engine },
	};
}

function parseModule(text: string): [string, NamedLora] {
	const [, name, path] = /^([^=]+)=(.+)$/.exec(text) ?? [];
	if (name !== undefined) return [name, { name, path }];
	throw new NanoVllmError(
		"invalid_option",
		`--lora-modules wants name=path, got ${JSON.stringify(text)}.`,
	);
}
