/** Results as text on stdout: for people on a terminal, for programs in a pipe. */
import type { RequestOutput } from "../index.ts";
import type { Task } from "./prompts.ts";
import { paint, printable } from "./terminal.ts";

/** What is shown of an output: its text, or its token ids where no tokenizer is loaded. */
export type TextOf = (
	output: Pick<RequestOutput["outputs"][0], "text" | "tokenIds">,
) => string;

/**
 * On a terminal every prompt stands before its outputs. In a pipe a single output is nothing but its text; several have
 * header lines: `[1/3] "prompt as JSON"`, with several outputs a prompt `[1/3 #2] …`, then the text, then an empty line.
 */
export function printOutputs(
	tasks: readonly Task[],
	results: readonly RequestOutput[],
	textOf: TextOf,
): void {
	const isTerminal = process.stdout.isTTY === true;
	const single = results.length === 1 && results[0].outputs.length === 1;
	for (const [i, result] of results.entries()) {
		const place = `${i + 1}/${results.length}`;
		if (isTerminal) printBlock(single ? null : place, tasks[i], result, textOf);
		else if (single) print(`${textOf(result.outputs[0])}\n`);
		else printRecord(place, tasks[i], result, textOf);
	}
}

const print = (text: string) => process.stdout.write(text);

function printBlock(
	place: string | null,
	task: Task,
	{ outputs }: RequestOutput,
	textOf: TextOf,
) {
	const question = printable(promptText(task));
	for (const output of outputs) {
		const which = outputs.length === 1 ? "" : ` #${output.index + 1}`;
		const answer = printable(textOf(output));
		const end = output.finishReason === "length" ? paint("dim", " …") : "";
		if (place !== null) print(paint("dim", `── ${place}${which} ──\n`));
		if (task.kind === "chat")
			print(`${paint("cyan", `> ${question}`)}\n${answer.trim()}${end}\n\n`);
		else print(`${paint("cyan", question)}${answer.trimEnd()}${end}\n\n`);
	}
}

function printRecord(
	place: string,
	task: Task,
	{ outputs }: RequestOutput,
	textOf: TextOf,
) {
	const prompt = JSON.stringify(promptText(task));
	for (const output of outputs) {
		const which = outputs.length === 1 ? "" : ` #${output.index + 1}`;
		print(`[${place}${which}] ${prompt}\n${textOf(output)}\n\n`);
	}
}

/** The words a reader knows the task by. */
export function promptText(task: Task): string {
	if (task.kind === "chat") {
		const content = task.messages.at(-1)?.content;
		return typeof content === "string" ? content : JSON.stringify(content);
	}
	const { prompt } = task;
	if (typeof prompt === "string") return prompt;
	if ("prompt" in prompt) return prompt.prompt;
	return Array.from(prompt.promptTokenIds).join(" ");
}
