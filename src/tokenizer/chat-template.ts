/**
 * Messages → prompt text, by the model's own Jinja template. Knows nothing of tokens. The names a template sees are those
 * transformers' apply_chat_template gives; the interpreter is the npm package @huggingface/jinja, which hands out nothing of the host.
 * Where it differs from Python still: {{ true }} and {{ none }} print "true" and "", `title` is for ASCII, 'x' * 3 and '%s' % x fail.
 */
import { Template } from "@huggingface/jinja";
import { NanoVllmError } from "../errors.ts";
import { tokenName } from "./tokenizer-json.ts";

export interface TextPart {
	readonly type: "text";
	readonly text: string;
}

export interface ChatMessage {
	readonly role: string;
	/** May be absent beside tool_calls. */
	readonly content?: string | readonly TextPart[] | null;
	/** name, tool_calls, tool_call_id, reasoning_content, …: as the template wants them. */
	readonly [field: string]: unknown;
}

export interface RenderOptions {
	/** Ends the prompt where the assistant's answer begins. @default false */
	readonly addGenerationPrompt?: boolean;
	readonly tools?: readonly unknown[];
	readonly documents?: readonly unknown[];
	/** Whatever else the template asks for, e.g. enable_thinking. */
	readonly [kwarg: string]: unknown;
}

export interface ChatTemplate {
	/** @throws invalid_prompt for messages of the wrong form, invalid_chat_template where the template refuses or fails */
	render(messages: readonly ChatMessage[], options?: RenderOptions): string;
}

const SPECIAL_TOKENS = [
	"bos_token",
	"eos_token",
	"unk_token",
	"sep_token",
	"pad_token",
	"cls_token",
	"mask_token",
];

/** @throws invalid_chat_template where the source is no Jinja we can run. */
export function createChatTemplate(
	source: string,
	specialTokens: Readonly<Record<string, string>>,
): ChatTemplate {
	const template = parse(source);
	const takesParts = loopsOverContent(source);
	return {
		render(messages, options = {}) {
			const {
				addGenerationPrompt = false,
				tools = null,
				documents = null,
				...kwargs
			} = options;
			checkMessages(messages);
			const shown = takesParts ? messages : messages.map(joinParts);
			return run(template, {
				...kwargs,
				...specialTokens,
				python_strip: pythonStrip,
				messages: shown,
				tools,
				documents,
				add_generation_prompt: addGenerationPrompt,
			});
		},
	};
}

/**
 * The template that transformers would take: chat_template.jinja, else the configuration's string or its "default" of several.
 * @throws invalid_chat_template where the configuration holds something else.
 */
export function findChatTemplate(
	tokenizerConfig: unknown,
	chatTemplateJinja: string | null,
): string | undefined {
	if (chatTemplateJinja !== null) return chatTemplateJinja;
	const found = field(tokenizerConfig, "chat_template");
	if (found === undefined || found === null) return undefined;
	if (typeof found === "string") return found;
	if (!Array.isArray(found))
		throw new NanoVllmError(
			"invalid_chat_template",
			`tokenizer_config.json: wanted chat_template to be a string or a list of { name, template }, got ${typeof found}. Put the template into chat_template.jinja.`,
		);
	const named = found.find((entry) => field(entry, "name") === "default");
	const template = field(named, "template");
	return typeof template === "string" ? template : undefined;
}

/** bos_token, eos_token and the like, as templates name them. */
export function specialTokensOf(
	tokenizerConfig: unknown,
): Record<string, string> {
	const tokens: Record<string, string> = {};
	for (const key of SPECIAL_TOKENS) {
		const name = tokenName(field(tokenizerConfig, key));
		if (name !== undefined) tokens[key] = name;
	}
	return tokens;
}

function field(value: unknown, key: string): unknown {
	return typeof value === "object" &&
		value !== null &&
		Object.hasOwn(value, key)
		? (value as Record<string, unknown>)[key]
		: undefined;
}

function parse(source: string): Template {
	try {
		const template = new Template(source);
		mendStrip(template.parsed);
		return template;
	} catch (error) {
		throw new NanoVllmError(
			"invalid_chat_template",
			`chat template: wanted Jinja as transformers reads it, got "${messageOf(error)}". Mend the template, or pass a prompt in place of messages.`,
			{ cause: error },
		);
	}
}

function run(template: Template, names: Record<string, unknown>): string {
	try {
		return template.render(names);
	} catch (error) {
		throw new NanoVllmError(
			"invalid_chat_template",
			`the chat template refuses these messages: ${messageOf(error)}`,
			{ cause: error },
		);
	}
}

function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}

function checkMessages(messages: readonly ChatMessage[]): void {
	if (!Array.isArray(messages)) refuse("a list of messages", messages);
	for (const [i, message] of (messages as unknown[]).entries()) {
		if (typeof message !== "object" || message === null)
			refuse(`an object as message ${i}`, message);
		const role = field(message, "role");
		if (typeof role !== "string")
			refuse(`a string as role of message ${i}`, role);
		checkContent(message, i);
	}
}

function checkContent(message: unknown, i: number): void {
	const content = field(message, "content") ?? null;
	if (typeof content === "string") return;
	if (content === null && field(message, "tool_calls") != null) return;
	if (!Array.isArray(content))
		refuse(`a string or a list of parts as content of message ${i}`, content);
	for (const part of content as unknown[])
		if (
			field(part, "type") !== "text" ||
			typeof field(part, "text") !== "string"
		)
			refuse(`parts { type: "text", text } in message ${i}`, part);
}

function refuse(wanted: string, got: unknown): never {
	throw new NanoVllmError(
		"invalid_prompt",
		`messages: wanted ${wanted}, got ${String(JSON.stringify(got)).slice(0, 80)}. A message is { role: "user", content: "text" }.`,
	);
}

/** Whether the template goes through a message's parts itself; others want one string. After vLLM's content format "auto". */
function loopsOverContent(source: string): boolean {
	return /\{%-?\s*for\s+\w+\s+in\s+[^%]*\bcontent\b/.test(source);
}

function joinParts(message: ChatMessage): ChatMessage {
	if (!Array.isArray(message.content)) return message;
	const texts = (message.content as TextPart[]).map((part) => part.text);
	return { ...message, content: texts.join("\n") };
}

interface AstNode {
	type?: string;
	value?: unknown;
	callee?: AstNode;
	object?: AstNode;
	property?: AstNode;
	computed?: boolean;
	args?: AstNode[];
}

/**
 * x.strip("\n") → python_strip(x, "strip", "\n"), everywhere in the tree. The package's strip, lstrip and rstrip forget their
 * argument and take all white space, the indentation of an answer too.
 */
function mendStrip(node: unknown): void {
	if (typeof node !== "object" || node === null) return;
	if (node instanceof Map) {
		for (const [key, value] of node) mendStrip([key, value]);
		return;
	}
	for (const child of Object.values(node)) mendStrip(child);
	const call = node as AstNode;
	const { callee } = call;
	if (call.type !== "CallExpression" || callee?.type !== "MemberExpression")
		return;
	const name = callee.property?.value;
	if (callee.computed || !/^[lr]?strip$/.test(String(name))) return;
	if (call.args === undefined || call.args.length === 0) return;
	call.args = [
		callee.object as AstNode,
		{ type: "StringLiteral", value: name },
		...call.args,
	];
	call.callee = { type: "Identifier", value: "python_strip" };
}

/** Python's str.strip, lstrip, rstrip: any of the characters `chars`, white space where there is none. */
function pythonStrip(text: unknown, side: string, chars: unknown): string {
	if (typeof text !== "string") throw new Error(`${side}() wants a string`);
	const takesFront = side !== "rstrip";
	const takesBack = side !== "lstrip";
	if (typeof chars !== "string") {
		const front = takesFront ? text.trimStart() : text;
		return takesBack ? front.trimEnd() : front;
	}
	const taken = new Set(chars);
	const letters = [...text];
	let start = 0;
	let end = letters.length;
	while (takesFront && start < end && taken.has(letters[start])) start++;
	while (takesBack && end > start && taken.has(letters[end - 1])) end--;
	return letters.slice(start, end).join("");
}
