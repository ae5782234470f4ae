/** Random JSON schemas, of what structured outputs honour, small enough that a random model finishes them. */
import type { randomSource } from "./random.ts";

type Random = ReturnType<typeof randomSource>;
type Schema = Record<string, unknown>;

const NAMES = ["id", "name", "tags", "größe", "x-y", "a/b", "$t", "日本", "n0"];
const VALUES = [
	1,
	-2.5,
	"red",
	'q"uote\\',
	"é😀",
	true,
	null,
	[1, "a"],
	{ k: 0 },
];
const PATTERNS = [
	"^[a-f]{1,4}$",
	"\\d{2}-\\w",
	"(a|bc)+d?",
	"^[^x]{2}.$",
	"ä|[ö-ü]\\s",
];
const FORMATS = ["date", "uuid", "ipv4", "time", "date-time"];

export function randomSchema(random: Random, depth = 3): Schema {
	const { below } = random;
	const pick = <T>(list: readonly T[]): T => list[below(list.length)];
	const some = <T>(list: readonly T[], least = 1): T[] =>
		random.shuffled(list).slice(0, least + below(3));
	const scalars: (() => Schema)[] = [
		() => ({ type: pick(["boolean", "null"]) }),
		() => ({ enum: some(VALUES) }),
		() => ({ const: pick(VALUES) }),
		() => ({ type: "string", maxLength: below(6) }),
		() => ({ type: "string", minLength: 1, maxLength: 1 + below(4) }),
		() => ({ type: "string", pattern: pick(PATTERNS) }),
		() => ({ type: "string", format: pick(FORMATS) }),
		() => ({ type: ["integer", "null"], minimum: below(40) - 20 }),
		() => ({ type: "integer", exclusiveMaximum: below(300) - 150 }),
		() => ({ minimum: -below(9), maximum: below(99), type: "integer" }),
		() => ({ type: "number" }),
		() => ({ type: "number", minimum: below(20), exclusiveMaximum: 20.5 }),
		() => ({ type: ["number", "null"], maximum: below(9) - 4.5 }),
	];
	const nested: (() => Schema)[] = [
		() => randomObject(random, depth, some(NAMES)),
		() => ({
			type: "array",
			items: randomSchema(random, depth - 1),
			minItems: below(2),
			maxItems: 1 + below(3),
		}),
		() => ({
			type: "array",
			prefixItems: [randomSchema(random, 0), randomSchema(random, depth - 1)],
		}),
		() => ({
			anyOf: [randomSchema(random, depth - 1), randomSchema(random, 0)],
		}),
		() => ({ allOf: [randomSchema(random, depth - 1)] }),
	];
	return pick(depth > 0 && below(3) > 0 ? nested : scalars)();
}

function randomObject(
	random: Random,
	depth: number,
	names: readonly string[],
): Schema {
	const children = names.map((name) => [name, randomSchema(random, depth - 1)]);
	return {
		type: "object",
		properties: Object.fromEntries(children),
		required: names.filter(() => random.below(2) === 0),
		description: "random",
		...(random.below(2) === 0 && { additionalProperties: false }),
	};
}
