/** What shape an answer has to have, as flags of generate and chat: --json-schema (llama.cpp's name), --regex, --choice, --grammar. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type { SamplingParamsInput } from "../config.ts";
import { NanoVllmError } from "../errors.ts";
import { parseTexts } from "./values.ts";

interface Options {
	readonly jsonSchema?: string;
	readonly regex?: string;
	readonly choice?: readonly string[];
	readonly grammar?: string;
}

const HEADING = "Structured outputs (one of them):";

export function addStructuredFlags(command: Command): Command {
	command.optionsGroup(HEADING);
	command.option(
		"--json-schema <file|json>",
		"the answer is JSON that this schema describes; {}: any JSON",
	);
	command.option("--regex <pattern>", "the whole answer matches");
	command.option<string[]>(
		"--choice <texts>",
		"the answer is one of these, e.g. yes,no (may be repeated)",
		parseTexts,
	);
	return command.option(
		"--grammar <file>",
		"the answer is derived from root of this EBNF",
	);
}

/** @throws invalid_option for a file that cannot be read */
export function structuredOptions(
	options: Readonly<Record<string, unknown>>,
): Pick<SamplingParamsInput, "structuredOutputs"> {
	const { jsonSchema, regex, choice, grammar } = options as Options;
	const given = {
		...(jsonSchema !== undefined && { json: schemaText(jsonSchema) }),
		...(regex !== undefined && { regex }),
		...(choice !== undefined && { choice }),
		...(grammar !== undefined && { grammar: readText("grammar", grammar) }),
	};
	return Object.keys(given).length === 0 ? {} : { structuredOutputs: given };
}

const schemaText = (value: string): string =>
	value.trimStart().startsWith("{") ? value : readText("json-schema", value);

function readText(flag: string, path: string): string {
	try {
		return readFileSync(path, "utf8");
	} catch (cause) {
		const { code } = cause as NodeJS.ErrnoException;
		throw new NanoVllmError(
			"invalid_option",
			`--${flag} ${path} could not be read (${code}). Check the path.`,
			{ cause },
		);
	}
}
