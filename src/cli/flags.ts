/** A table of flags → options of a command, and back to the values that were given. Knows no engine; flags left out stay out. */
import { type Command, Option } from "commander";

/** What one flag takes. `name` where it is not the key in kebab-case. */
export interface Flag {
	readonly about: string;
	readonly name?: string;
	/** Shown in help as --flag <value>; absent for a switch (--flag and --no-flag). */
	readonly value?: string;
	readonly choices?: readonly string[];
	/** `before`: the value so far, of a flag that may come again. */
	readonly parse?: (text: string, before?: never) => unknown;
}

export type FlagTable = Readonly<Record<string, Flag>>;

/** maxModelLen → max-model-len */
export const kebab = (key: string) =>
	key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Adds every flag of the table. `defaults` are named in the help and nowhere else: the library fills them in. */
export function addFlags(
	command: Command,
	heading: string,
	table: FlagTable,
	defaults: Readonly<Record<string, unknown>> = {},
): Command {
	command.optionsGroup(heading);
	for (const [key, flag] of Object.entries(table)) {
		const name = flag.name ?? kebab(key);
		const about = flag.about + details(flag, defaults[key]);
		if (flag.value === undefined && flag.choices === undefined) {
			command.addOption(new Option(`--${name}`, about));
			command.addOption(new Option(`--no-${name}`).hideHelp());
			continue;
		}
		const option = new Option(`--${name} <${flag.value ?? "name"}>`, about);
		if (flag.choices !== undefined) option.choices(flag.choices);
		else if (flag.parse !== undefined) option.argParser(flag.parse as never);
		command.addOption(option);
	}
	return command;
}

/** The values given on the command line, by the table's keys. */
export function givenFlags<T extends object>(
	table: FlagTable,
	options: Readonly<Record<string, unknown>>,
): Partial<T> {
	const given: Record<string, unknown> = {};
	for (const [key, flag] of Object.entries(table)) {
		const value = options[flag.name === undefined ? key : camel(flag.name)];
		if (value !== undefined) given[key] = value;
	}
	return given as Partial<T>;
}

const camel = (name: string) =>
	name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** " [auto, cpu; default: auto]" */
function details({ choices }: Flag, value: unknown): string {
	const parts: string[] = [];
	if (choices !== undefined) parts.push(choices.join(", "));
	if (typeof value === "boolean")
		parts.push(`default: ${value ? "on" : "off"}`);
	else if (value !== undefined && value !== null)
		parts.push(`default: ${value}`);
	return parts.length === 0 ? "" : ` [${parts.join("; ")}]`;
}

/** A message about options as the library names them, in the names of the command line: maxModelLen → --max-model-len. */
export function inFlags(message: string, tables: readonly FlagTable[]): string {
	return message.replace(/\b[a-z]+(?:[A-Z][a-z]*)+\b/g, (key) => {
		const table = tables.find((each) => Object.hasOwn(each, key));
		return table === undefined ? key : `--${table[key].name ?? kebab(key)}`;
	});
}
