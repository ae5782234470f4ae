/**
 * JSON schemas for XGrammar 0.1.27, which ignores what it does not know and gets some things wrong: a schema is rewritten so that
 * what XGrammar makes of it is never wider than what was asked for, or refused with the place. Narrower it may be: properties
 * that are not described do not occur (vLLM does the same), integers stay safe, `oneOf` is a choice like `anyOf`.
 */
import { narrowArray, narrowObject } from "./json-containers.ts";
import { followReferences, resolvePointer } from "./json-pointer.ts";
import { narrowNumber, narrowString } from "./json-scalars.ts";
import { NUMBER_MARK } from "./number-range.ts";
import { type Inner, isSchema, refuse, type Schema } from "./schema.ts";

const MAX_DEPTH = 64;
const MAX_NODES = 20_000;
/** Keywords that say something else than XGrammar would take them for, if it took note of them. */
const UNSUPPORTED = [
	"not",
	"if",
	"then",
	"else",
	"dependentRequired",
	"dependentSchemas",
	"dependencies",
	"patternProperties",
	"propertyNames",
	"contains",
	"minContains",
	"maxContains",
	"additionalItems",
	"unevaluatedItems",
	"$dynamicRef",
	"$recursiveRef",
];
/** Where one of these stands, XGrammar reads nothing else. */
const WHOLE = ["$ref", "const", "enum", "anyOf", "oneOf", "allOf"];
const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
	string: ["minLength", "maxLength", "pattern", "format"],
	number: [
		"minimum",
		"maximum",
		"exclusiveMinimum",
		"exclusiveMaximum",
		"multipleOf",
	],
	array: ["items", "prefixItems", "minItems", "maxItems", "uniqueItems"],
	object: [
		"properties",
		"required",
		"additionalProperties",
		"unevaluatedProperties",
		"minProperties",
		"maxProperties",
	],
};
const TYPES = [
	"string",
	"number",
	"integer",
	"boolean",
	"null",
	"array",
	"object",
];

export interface NarrowedSchema {
	/** The JSON text XGrammar is given. */
	readonly schema: string;
	/** EBNF of what its i-th NUMBER_MARK stands for. */
	readonly numbers: readonly string[];
}

/** @throws invalid_sampling_params with the place and the reason */
export function narrowSchema(given: unknown): NarrowedSchema {
	const root = parse(given);
	const definitions: Record<string, unknown> = {};
	const names = new Map<string, string>();
	const numbers: string[] = [];
	let numNodes = 0;

	const narrow = (schema: unknown, path: string, depth: number): Schema => {
		if (schema === true) return {};
		if (!isSchema(schema))
			throw refuse(
				path,
				schema === false
					? "false allows no value. Leave the place out."
					: `wanted a schema, got ${JSON.stringify(schema)}.`,
			);
		if (depth > MAX_DEPTH || ++numNodes > MAX_NODES)
			throw refuse(
				path,
				`a schema may be ${MAX_DEPTH} levels deep and hold ${MAX_NODES} schemas. Make it smaller.`,
			);
		const inner = (child: unknown, name: string) =>
			narrow(child, `${path}/${name}`, depth + 1);
		for (const keyword of UNSUPPORTED)
			if (keyword in schema)
				throw refuse(path, `"${keyword}" cannot be honoured. Leave it out.`);
		const whole = WHOLE.filter((keyword) => keyword in schema);
		if (whole.length > 0) {
			checkAlone(schema, whole, path);
			return narrowWhole(schema, whole[0], path, inner, reference);
		}
		const alternatives = typesOf(schema, path).map((type) =>
			narrowType(type, schema, path, inner, numbers),
		);
		if (alternatives.length === 0) return {};
		return alternatives.length === 1
			? alternatives[0]
			: { anyOf: alternatives };
	};

	/** A definition of its own for every place that is pointed to, wherever it stands. */
	const reference = (ref: unknown, path: string): Schema => {
		const pointer = followReferences(root, ref, path);
		let name = names.get(pointer);
		if (name === undefined) {
			name = `d${names.size}`;
			names.set(pointer, name);
			definitions[name] = narrow(resolvePointer(root, pointer), pointer, 0);
		}
		return { $ref: `#/$defs/${name}` };
	};

	const narrowed = narrow(root, "", 0);
	const schema = JSON.stringify({ ...narrowed, $defs: definitions });
	return { schema, numbers };
}

function parse(given: unknown): Schema {
	let root = given;
	if (typeof given === "string")
		try {
			root = JSON.parse(given);
		} catch (cause) {
			throw refuse("", `not JSON: ${(cause as Error).message}.`);
		}
	if (JSON.stringify(root)?.includes(NUMBER_MARK))
		throw refuse("", `it may not hold the text "${NUMBER_MARK}".`);
	if (isSchema(root)) return root;
	throw refuse("", `wanted an object, got ${JSON.stringify(root)}.`);
}

function checkAlone(
	schema: Schema,
	whole: readonly string[],
	path: string,
): void {
	const others = Object.values(KEYWORDS)
		.flat()
		.concat(whole.slice(1))
		.filter((keyword) => keyword in schema);
	if ("type" in schema && whole[0] !== "const" && whole[0] !== "enum")
		others.push("type");
	if (others.length > 0)
		throw refuse(
			path,
			`"${others[0]}" beside "${whole[0]}" cannot be honoured. Say it inside, or leave it out.`,
		);
}

function narrowWhole(
	schema: Schema,
	keyword: string,
	path: string,
	inner: Inner,
	reference: (ref: unknown, path: string) => Schema,
): Schema {
	const value = schema[keyword];
	if (keyword === "$ref") return reference(value, path);
	if (keyword === "const") return { enum: ofType([value], schema, path) };
	if (!Array.isArray(value) || value.length === 0)
		throw refuse(path, `"${keyword}" must be a list that is not empty.`);
	if (keyword === "enum") return { enum: ofType(value, schema, path) };
	if (keyword === "allOf") {
		if (value.length === 1) return inner(value[0], "allOf/0");
		throw refuse(
			path,
			'"allOf" of several schemas cannot be honoured. Write them as one.',
		);
	}
	const allowed = value.flatMap((option, i) =>
		option === false ? [] : [inner(option, `${keyword}/${i}`)],
	);
	if (allowed.length === 0)
		throw refuse(path, `no "${keyword}" allows a value.`);
	return { anyOf: allowed };
}

/** The values of enum or const that its type allows. */
function ofType(
	values: readonly unknown[],
	schema: Schema,
	path: string,
): unknown[] {
	const types = "type" in schema ? typesOf(schema, path) : TYPES;
	const fitting = values.filter((value) =>
		types.some((type) => hasType(value, type)),
	);
	if (fitting.length > 0) return fitting;
	throw refuse(path, 'no value of "enum" or "const" has the type asked for.');
}

function hasType(value: unknown, type: string): boolean {
	if (value === null) return type === "null";
	if (Array.isArray(value)) return type === "array";
	if (typeof value !== "number") return typeof value === type;
	return type === "number" || (type === "integer" && Number.isInteger(value));
}

/** None: any value. Keywords of one kind alone stand for its type. */
function typesOf(schema: Schema, path: string): readonly string[] {
	const { type } = schema;
	if (type === undefined) {
		const kinds = Object.keys(KEYWORDS).filter((kind) =>
			KEYWORDS[kind].some((keyword) => keyword in schema),
		);
		if (kinds.length < 2) return kinds;
		throw refuse(
			path,
			`it speaks of ${kinds.join(" and ")} and names no "type". Add it.`,
		);
	}
	const list = Array.isArray(type) ? type : [type];
	const wrong = list.find((item) => !TYPES.includes(item));
	if (list.length === 0 || wrong !== undefined)
		throw refuse(
			path,
			`"type" must be one of ${TYPES.join(", ")}, or a list of them, got ${JSON.stringify(type)}.`,
		);
	return list;
}

function narrowType(
	type: string,
	schema: Schema,
	path: string,
	inner: Inner,
	numbers: string[],
): Schema {
	switch (type) {
		case "string":
			return narrowString(schema, path);
		case "number":
		case "integer":
			return narrowNumber(schema, type, path, numbers);
		case "array":
			return narrowArray(schema, path, inner);
		case "object":
			return narrowObject(schema, path, inner);
		default:
			return { type };
	}
}
