/** What `structuredOutputs` may say: one kind of constraint, and how its text is laid out. Names are vLLM's. Knows no grammar engine. */
import { NanoVllmError } from "./errors.ts";

/** Exactly one of json, regex, choice, grammar and jsonObject. */
export interface StructuredOutputs {
	/** The answer is JSON that this schema (an object, or its JSON text) describes. */
	readonly json?: Readonly<Record<string, unknown>> | string;
	/** The whole answer matches. */
	readonly regex?: string;
	/** The answer is one of these texts. */
	readonly choice?: readonly string[];
	/** The answer is derived from `root` of this EBNF (GBNF's dialect, as XGrammar reads it). */
	readonly grammar?: string;
	/** The answer is a JSON object of any shape. */
	readonly jsonObject?: boolean;
	/** JSON on one line, `", "` and `": "` between its parts, instead of any whitespace. */
	readonly disableAnyWhitespace?: boolean;
	/** Known to vLLM, but not to its XGrammar backend, which this is: refused. */
	readonly whitespacePattern?: null;
}

/** A model may think before it answers: what it thinks is free, and structuredOutputs hold from the token after the thought on. */
export interface Thought {
	/** <think>, as the first token of an output. */
	readonly openTokenId: number;
	/** </think> */
	readonly closeTokenId: number;
	/** The prompt has opened the thought. */
	readonly isOpen?: boolean;
}

export type StructuredKind =
	| "json"
	| "regex"
	| "choice"
	| "grammar"
	| "jsonObject";

const KINDS: readonly StructuredKind[] = [
	"json",
	"regex",
	"choice",
	"grammar",
	"jsonObject",
];
const OPTIONS = ["disableAnyWhitespace", "whitespacePattern"];

/** Characters of a schema, pattern, grammar or list of choices: what compiles within a second or so. */
export const MAX_GRAMMAR_CHARS = 256 * 1024;
export const MAX_CHOICES = 4096;

/** @throws invalid_sampling_params unless `value` is one kind of constraint with options that can be honoured */
export function checkStructuredOutputs(value: unknown): StructuredKind {
	if (typeof value !== "object" || value === null || Array.isArray(value))
		throw wrong(`must be an object with one of ${KINDS.join(", ")}`, value);
	const given = value as StructuredOutputs;
	for (const key of Object.keys(given))
		if (!(KINDS as readonly string[]).concat(OPTIONS).includes(key))
			throw wrong(
				`has no field ${JSON.stringify(key)}. Known: ${[...KINDS, ...OPTIONS].join(", ")}`,
			);
	// Null and undefined are fields left out; jsonObject false asks for nothing.
	const kinds = KINDS.filter(
		(kind) => (given[kind] ?? null) !== null && given[kind] !== false,
	);
	if (kinds.length !== 1)
		throw wrong(
			`must hold exactly one of ${KINDS.join(", ")}, got ${kinds.join(" and ") || "none"}`,
		);
	checkOptions(given, kinds[0]);
	checkKind(given, kinds[0]);
	return kinds[0];
}

function checkOptions(given: StructuredOutputs, kind: StructuredKind): void {
	const { disableAnyWhitespace, whitespacePattern } = given;
	if ((whitespacePattern ?? null) !== null)
		throw wrong(
			"cannot honour whitespacePattern: XGrammar allows any whitespace between JSON's parts, or with disableAnyWhitespace a fixed layout. Use that, or a regex or grammar",
		);
	if ((disableAnyWhitespace ?? null) === null) return;
	if (typeof disableAnyWhitespace !== "boolean")
		throw wrong(
			"needs disableAnyWhitespace to be true or false",
			disableAnyWhitespace,
		);
	if (disableAnyWhitespace && kind !== "json" && kind !== "jsonObject")
		throw wrong(
			`cannot honour disableAnyWhitespace beside ${kind}: it lays out JSON. Leave it out`,
		);
}

function checkKind(given: StructuredOutputs, kind: StructuredKind): void {
	const { json, choice, jsonObject } = given;
	switch (kind) {
		case "json":
			if (typeof json === "string") checkText("json", json);
			else if (typeof json !== "object" || Array.isArray(json))
				throw wrong("needs json to be a JSON schema or its text", json);
			break;
		case "regex":
		case "grammar":
			checkText(kind, given[kind]);
			break;
		case "choice":
			checkChoices(choice);
			break;
		case "jsonObject":
			if (jsonObject !== true)
				throw wrong("needs jsonObject to be true or false", jsonObject);
			break;
		default:
			kind satisfies never;
	}
}

function checkText(name: string, text: unknown): void {
	if (typeof text !== "string" || text === "")
		throw wrong(`needs ${name} to be a text that is not empty`, text);
	if (text.length > MAX_GRAMMAR_CHARS)
		throw wrong(
			`takes a ${name} of at most ${MAX_GRAMMAR_CHARS} characters, got ${text.length}. Make it smaller`,
		);
	if (!text.isWellFormed())
		throw wrong(`got a ${name} with half a surrogate pair. Remove it`);
}

function checkChoices(choices: unknown): void {
	if (!Array.isArray(choices) || choices.length === 0)
		throw wrong("needs choice to be a list of at least one text", choices);
	if (choices.length > MAX_CHOICES)
		throw wrong(
			`takes at most ${MAX_CHOICES} choices, got ${choices.length}. Offer fewer, or use a regex`,
		);
	choices.forEach((choice, i) => {
		checkText(`choice[${i}]`, choice);
	});
	checkText("choice (all together)", choices.join(""));
}

function wrong(what: string, value?: unknown): NanoVllmError {
	const got =
		value === undefined
			? ""
			: `, got ${(JSON.stringify(value) ?? String(value)).slice(0, 80)}`;
	return new NanoVllmError(
		"invalid_sampling_params",
		`structuredOutputs ${what}${got}.`,
	);
}
