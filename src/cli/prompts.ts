/** Where prompts come from: arguments, a file, standard input. Knows no engine. */
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { NanoVllmError } from "../errors.ts";
import type { ChatMessage, Prompt } from "../index.ts";

export type Task = (
	| { readonly kind: "continue"; readonly prompt: Prompt }
	| { readonly kind: "chat"; readonly messages: readonly ChatMessage[] }
) & {
	/** The adapter it names. */
	readonly lora?: string;
};

export interface PromptSources {
	readonly args: readonly string[];
	/** Lines of text, or JSON Lines. */
	readonly file?: string;
	/** Read where there are neither arguments nor a file; null: it is a terminal. */
	readonly stdin: NodeJS.ReadableStream | null;
	/** Plain texts are user messages, not beginnings. */
	readonly chat: boolean;
}

/** @throws invalid_prompt, invalid_option */
export async function readTasks(sources: PromptSources): Promise<Task[]> {
	const { args, file, stdin } = sources;
	const tasks: Task[] = args.map((prompt) => plainTask(prompt, sources.chat));
	if (file !== undefined)
		tasks.push(...parseTasks(await readLines(file), file, sources.chat));
	else if (args.length === 0 && stdin !== null)
		tasks.push(...parseTasks(await text(stdin), "stdin", sources.chat));
	if (tasks.length === 0)
		throw new NanoVllmError(
			"invalid_prompt",
			'there is no prompt. Give one, like nano-vllm generate "Once upon a time", or --file, or --demo.',
		);
	return tasks;
}

const plainTask = (content: string, chat: boolean): Task =>
	chat
		? { kind: "chat", messages: [{ role: "user", content }] }
		: { kind: "continue", prompt: content };

async function readLines(file: string): Promise<string> {
	try {
		return await readFile(file, "utf8");
	} catch (cause) {
		const { code } = cause as NodeJS.ErrnoException;
		throw new NanoVllmError(
			"invalid_option",
			`--file ${file} could not be read (${code}). Check the path.`,
			{ cause },
		);
	}
}

/** One task a line, empty lines left out. JSON Lines where the name or the first line says so. */
function parseTasks(content: string, name: string, chat: boolean): Task[] {
	const lines = content.split(/\r?\n/);
	const first = lines.find((line) => line.trim() !== "") ?? "";
	const isJson = name.endsWith(".jsonl") || isTaskObject(parseJson(first));
	return lines.flatMap((line, i) => {
		if (line.trim() === "") return [];
		if (!isJson) return [plainTask(line, chat)];
		return [jsonTask(parseJson(line), `${name}, line ${i + 1}`, chat)];
	});
}

function parseJson(line: string): unknown {
	try {
		return JSON.parse(line);
	} catch {
		return undefined;
	}
}

const isTaskObject = (value: unknown): value is Record<string, unknown> =>
	typeof value === "object" &&
	value !== null &&
	["prompt", "promptTokenIds", "messages"].some((key) => key in value);

function jsonTask(value: unknown, where: string, chat: boolean): Task {
	if (isTaskObject(value)) {
		const { prompt, promptTokenIds, messages } = value;
		const lora = typeof value.lora === "string" ? { lora: value.lora } : {};
		if (typeof prompt === "string")
			return { ...plainTask(prompt, chat), ...lora };
		if (Array.isArray(messages)) return { kind: "chat", messages, ...lora };
		if (Array.isArray(promptTokenIds))
			return { kind: "continue", prompt: { promptTokenIds }, ...lora };
	}
	throw new NanoVllmError(
		"invalid_prompt",
		`${where}: wanted an object with "prompt" (text), "messages" (a list) or "promptTokenIds" (a list).`,
	);
}
