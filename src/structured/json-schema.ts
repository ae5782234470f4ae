/**
 * JSON schemas for XGrammar 0.1.27, which ignores what it does not know and gets some things wrong: a schema is rewritten so that
 * what XGrammar makes of it is never wider than what was asked for, or refused with the place. Narrower it may be: properties
 * that are not described do not occur (vLLM does the same), integers stay safe, `oneOf` is a choice like `anyOf`.
 */
import { NanoVllmError } from "../errors.ts";
import { narrowNumber, narrowString } from "./json-scalars.ts";

export type Schema = Readonly<Record<string, unknown>>;

/** Reports what cannot be honoured at `path`. */
export type Refuse = (path: string, why: string) => NanoVllmError;

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

const refuse: Refuse = (path, why) =>
	new NanoVllmError(
		"invalid_sampling_params",
		`structuredOutputs.json at ${path || "/"}: ${why}`,
	);

/** @returns the JSON text XGrammar is given. @throws invalid_sampling_params with the place and the reason */
export function narrowSchema(given: unknown): string {
	const root = parse(given);
	const definitions: Record<string, unknown> = {};
	const names = new Map<string, string>();
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
			narrowType(type, schema, path, inner),
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
			definitions[name] = narrow(resolve(root, pointer), pointer, 0);
		}
		return { $ref: `#/$defs/${name}` };
	};

	const narrowed = narrow(root, "", 0);
	return JSON.stringify({ ...narrowed, $defs: definitions });
}

type Inner = (child: unknown, name: string) => Schema;

function parse(given: unknown): Schema {
	let root = given;
	if (typeof given === "string")
		try {
			root = JSON.parse(given);
		} catch (cause) {
			throw refuse("", `not JSON: ${(cause as Error).message}.`);
		}
	if (isSchema(root)) return root;
	throw refuse("", `wanted an object, got ${JSON.stringify(root)}.`);
}

export function isSchema(value: unknown): value is Schema {
	return typeof value === "object" && value !== null && !Array.isArray(value);
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
): Schema {
	switch (type) {
		case "string":
			return narrowString(schema, path, refuse);
		case "number":
		case "integer":
			return narrowNumber(schema, type, path, refuse);
		case "array":
			return narrowArray(schema, path, inner);
		case "object":
			return narrowObject(schema, path, inner);
		default:
			return { type };
	}
}

function narrowArray(schema: Schema, path: string, inner: Inner): Schema {
	const { items, prefixItems = [], uniqueItems = false } = schema;
	const { min, max } = countsOf(schema, "minItems", "maxItems", path);
	if (uniqueItems !== false)
		throw refuse(path, '"uniqueItems" cannot be honoured. Leave it out.');
	if (!Array.isArray(prefixItems) || Array.isArray(items))
		throw refuse(
			path,
			'a list of schemas belongs in "prefixItems", one for the rest in "items".',
		);
	const prefix = prefixItems
		.slice(0, max)
		.map((item, i) => inner(item, `prefixItems/${i}`));
	const goesOn = items === undefined ? min > prefix.length : items !== false;
	if (!goesOn && min > prefix.length)
		throw refuse(path, `"minItems" ${min} wants more items than there may be.`);
	const rest =
		items === undefined || items === false ? {} : inner(items, "items");
	const plain = items === undefined && prefix.length === 0;
	return {
		type: "array",
		...(prefix.length > 0 && { prefixItems: prefix }),
		items:
			plain || (goesOn && prefix.length < (max ?? Infinity)) ? rest : false,
		...(min > 0 && { minItems: min }),
		...(max !== undefined && { maxItems: max }),
	};
}

function narrowObject(schema: Schema, path: string, inner: Inner): Schema {
	const { properties = {}, required = [] } = schema;
	const { min, max } = countsOf(schema, "minProperties", "maxProperties", path);
	if (!isSchema(properties))
		throw refuse(path, '"properties" must be an object of schemas.');
	if (!Array.isArray(required) || required.some((n) => typeof n !== "string"))
		throw refuse(path, '"required" must be a list of names.');
	const extra = schema.additionalProperties ?? schema.unevaluatedProperties;
	const described: Record<string, Schema> = Object.create(null);
	for (const [name, child] of Object.entries(properties)) {
		if (child === false && !required.includes(name)) continue;
		described[name] = inner(child, `properties/${name}`);
	}
	for (const name of required)
		described[name] ??= inner(extra ?? true, `required/${name}`);
	for (const name of Object.keys(described))
		if (JSON.stringify(name) !== `"${name}"`)
			throw refuse(
				path,
				`a property's name may hold no quotes, backslashes or control characters, got ${JSON.stringify(name)}.`,
			);
	const anything = extra === undefined && Object.keys(described).length === 0;
	const rest =
		anything || extra === true
			? {}
			: extra !== undefined && extra !== false
				? inner(extra, "additionalProperties")
				: false;
	return {
		type: "object",
		properties: described,
		required: [...new Set(required)],
		additionalProperties: rest,
		...(min > 0 && { minProperties: min }),
		...(max !== undefined && { maxProperties: max }),
	};
}

function countsOf(
	schema: Schema,
	minName: string,
	maxName: string,
	path: string,
): { min: number; max: number | undefined } {
	const { [minName]: min = 0, [maxName]: max } = schema;
	for (const [name, value] of [
		[minName, min],
		[maxName, max],
	])
		if (
			value !== undefined &&
			!(Number.isSafeInteger(value) && Number(value) >= 0)
		)
			throw refuse(
				path,
				`"${name}" must be a whole number, got ${JSON.stringify(value)}.`,
			);
	if (max !== undefined && Number(min) > Number(max))
		throw refuse(path, `"${minName}" ${min} is more than "${maxName}" ${max}.`);
	return { min: Number(min), max: max === undefined ? max : Number(max) };
}

/** The place that a reference means, past references that stand there alone. */
function followReferences(root: Schema, ref: unknown, path: string): string {
	const seen = new Set<string>();
	for (let at = ref; ; ) {
		if (typeof at !== "string" || !/^#(?:\/|$)/.test(at))
			throw refuse(
				path,
				`"$ref" must point into this schema ("#/…"), got ${JSON.stringify(at)}.`,
			);
		const pointer = at.slice(1);
		if (seen.has(pointer))
			throw refuse(path, `"$ref" ${JSON.stringify(ref)} leads to itself.`);
		seen.add(pointer);
		const target = resolve(root, pointer);
		if (target === undefined)
			throw refuse(path, `"$ref" ${JSON.stringify(ref)} points to nothing.`);
		if (!isSchema(target) || !("$ref" in target)) return pointer;
		at = target.$ref;
	}
}

function resolve(root: Schema, pointer: string): unknown {
	let place: unknown = root;
	for (const part of pointer.split("/").slice(1)) {
		if (typeof place !== "object" || place === null) return undefined;
		const name = part.replace(/~1/g, "/").replace(/~0/g, "~");
		const key = decoded(name);
		if (!Object.hasOwn(place, key)) return undefined;
		place = (place as Schema)[key];
	}
	return place;
}

/** References are written as parts of a URL. */
function decoded(name: string): string {
	try {
		return decodeURIComponent(name);
	} catch {
		return name;
	}
}
