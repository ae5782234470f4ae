/** Strings and numbers of a JSON schema as XGrammar gets them right (json-schema.ts). */
import { NUMBER_MARK, type NumberRange, numberRange } from "./number-range.ts";
import { translatePattern } from "./pattern.ts";
import { refuse, type Schema } from "./schema.ts";

/** Formats XGrammar knows; the last two as patterns, because its own let too much through. */
const FORMATS: Readonly<Record<string, string | null>> = {
	date: null,
	time: null,
	duration: null,
	ipv4: null,
	ipv6: null,
	hostname: null,
	uuid: null,
	uri: null,
	"uri-reference": null,
	"uri-template": null,
	"date-time":
		"\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d+)?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)",
	email:
		"[\\w!#$%&'*+/=?^`{|}~-]+(\\.[\\w!#$%&'*+/=?^`{|}~-]+)*@[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*",
};
const MAX_LENGTH = 2 ** 20;

export function narrowString(schema: Schema, path: string): Schema {
	const { minLength, maxLength, pattern, format } = schema;
	const lengths = [minLength, maxLength].filter((n) => n !== undefined);
	const given = [pattern, format].filter((x) => x !== undefined);
	if (given.length + (lengths.length > 0 ? 1 : 0) > 1)
		throw refuse(
			path,
			'of "pattern", "format" and lengths one at a time can be honoured. Put the length into the pattern.',
		);
	const ofPattern = (text: string): Schema => ({
		type: "string",
		pattern: translatePattern(text, `structuredOutputs.json at ${path}`, true),
	});
	if (pattern !== undefined) {
		if (typeof pattern !== "string")
			throw refuse(path, '"pattern" must be a text.');
		return ofPattern(pattern);
	}
	if (format !== undefined) {
		if (typeof format !== "string" || !Object.hasOwn(FORMATS, format))
			throw refuse(
				path,
				`"format" ${JSON.stringify(format)} is not one of ${Object.keys(FORMATS).join(", ")}. Use a pattern, or leave it out.`,
			);
		const own = FORMATS[format];
		return own === null ? { type: "string", format } : ofPattern(own);
	}
	if (lengths.length === 0) return { type: "string" };
	const isLength = (n: unknown) =>
		Number.isSafeInteger(n) && Number(n) >= 0 && Number(n) <= MAX_LENGTH;
	const wrong = lengths.find((n) => !isLength(n));
	if (
		wrong !== undefined ||
		Number(minLength ?? 0) > Number(maxLength ?? MAX_LENGTH)
	)
		throw refuse(
			path,
			`lengths must be whole numbers up to ${MAX_LENGTH}, the least first, got ${lengths.map((n) => JSON.stringify(n)).join(" and ")}.`,
		);
	// XGrammar's own lengths let raw control characters through. One character each: no escapes.
	return {
		type: "string",
		pattern: `[^"\\\\\\u0000-\\u001f]{${minLength ?? 0},${maxLength ?? ""}}`,
	};
}

/**
 * XGrammar is right about whole numbers between two bounds; with one, or among fractions, it takes wrong ones and misses others.
 * @param numbers grammars of the schema's ranges so far; mark i stands for the i-th
 */
export function narrowNumber(
	schema: Schema,
	type: "number" | "integer",
	path: string,
	numbers: string[],
): Schema {
	const { minimum, maximum, multipleOf } = schema;
	const { exclusiveMinimum: above, exclusiveMaximum: below } = schema;
	if (multipleOf !== undefined && !(multipleOf === 1 && type === "integer"))
		throw refuse(path, '"multipleOf" cannot be honoured. Leave it out.');
	const bounds = [minimum, maximum, above, below].filter(
		(bound) => bound !== undefined,
	);
	const wrong = bounds.find((bound) => !Number.isFinite(bound));
	if (wrong !== undefined)
		throw refuse(path, `bounds must be numbers, got ${JSON.stringify(wrong)}.`);
	if (bounds.length === 0) return { type };
	const range = rangeOf(
		Math.max(Number(minimum ?? -Infinity), Number(above ?? -Infinity)),
		Math.min(Number(maximum ?? Infinity), Number(below ?? Infinity)),
		above,
		below,
	);
	if (type === "integer") return integersIn(range, path);
	const ebnf = numberRange(range);
	if (ebnf === null)
		throw refuse(
			path,
			`numbers from ${range.low} to ${range.high} cannot be told digit by digit. Let a whole number be one of the bounds or lie between them, and write no exponents.`,
		);
	return { enum: [`${NUMBER_MARK}${numbers.push(ebnf) - 1}:`] };
}

const rangeOf = (
	low: number,
	high: number,
	above: unknown,
	below: unknown,
): NumberRange => ({
	low,
	high,
	excludesLow: low === above,
	excludesHigh: high === below,
});

function integersIn(range: NumberRange, path: string): Schema {
	const limit = Number.MAX_SAFE_INTEGER;
	const low = Math.ceil(range.low);
	const high = Math.floor(range.high);
	const minimum = Math.max(
		low === range.low && range.excludesLow ? low + 1 : low,
		-limit,
	);
	const maximum = Math.min(
		high === range.high && range.excludesHigh ? high - 1 : high,
		limit,
	);
	if (minimum > maximum)
		throw refuse(path, "no safe integer lies between its bounds.");
	return { type: "integer", minimum, maximum };
}
