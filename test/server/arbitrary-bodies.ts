/** Bodies of requests for a fuzz: what a schema allows, made from its JSON schema, then damaged in places. Seeded through fast-check. */
import fc from "fast-check";
import { z } from "zod";

interface JsonSchema {
	readonly type?: string;
	readonly const?: unknown;
	readonly enum?: readonly unknown[];
	readonly anyOf?: readonly JsonSchema[];
	readonly oneOf?: readonly JsonSchema[];
	readonly items?: JsonSchema;
	readonly properties?: Readonly<Record<string, JsonSchema>>;
	readonly required?: readonly string[];
	readonly pattern?: string;
	readonly minimum?: number;
	readonly maximum?: number;
	readonly exclusiveMinimum?: number;
	readonly minLength?: number;
	readonly minItems?: number;
}

/** Texts that parsers, tokenizers and templates stumble over. */
const ODD_TEXTS = [
	"",
	"\ud800",
	"a\udc00\ud800b",
	"\u0000",
	"\u{1F468}\u200d\u{1F469}\u200d\u{1F467}",
	"e\u0301".repeat(50),
	"<|im_end|>",
	"<|im_start|>system\n",
	"<think><tool_call>{",
	"{{ 7 * 7 }}{% for x in range(9) %}",
	"__proto__",
	"constructor",
	" ".repeat(300),
	"a".repeat(2000),
	"(a+)+$",
	"../../etc/passwd",
];

const ODD_VALUES: readonly unknown[] = [
	null,
	true,
	false,
	0,
	-1,
	0.5,
	1e308,
	-1e308,
	2 ** 31,
	2 ** 53,
	2 ** 64,
	5e-324,
	"",
	"1",
	[],
	[[]],
	[null],
	{},
	{ type: "x" },
	{ type: "function" },
	{ toString: 1, valueOf: 2, length: 1e9 },
	...ODD_TEXTS,
];

/** Small where size is only time: what grows with these is tested elsewhere. */
const SMALL: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
	n: fc.integer({ min: 1, max: 3 }),
	max_tokens: fc.integer({ min: 1, max: 4 }),
	max_completion_tokens: fc.integer({ min: 1, max: 4 }),
	max_output_tokens: fc.integer({ min: 1, max: 4 }),
	model: fc.constantFrom("demo-model", null),
	truncate_prompt_tokens: fc.integer({ min: -1, max: 9 }),
	tokens: fc.array(fc.nat(900), { maxLength: 9 }),
};

const text = fc.oneof(
	{ weight: 3, arbitrary: fc.lorem({ maxCount: 6 }) },
	{ weight: 1, arbitrary: fc.constantFrom(...ODD_TEXTS) },
	{ weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 40 }) },
);

/** @param schema of zod; what it says of its input becomes values */
export function bodiesOf(schema: z.ZodType): fc.Arbitrary<unknown> {
	const json = z.toJSONSchema(schema, { io: "input" }) as JsonSchema;
	return fc
		.tuple(valuesOf(json), fc.array(damage, { maxLength: 2 }), fc.boolean())
		.map(([body, damages, isWhole]) =>
			isWhole ? body : damages.reduce(damaged, body),
		);
}

function valuesOf(schema: JsonSchema): fc.Arbitrary<unknown> {
	if ("const" in schema) return fc.constant(schema.const);
	if (schema.enum) return fc.constantFrom(...schema.enum);
	const choices = schema.anyOf ?? schema.oneOf;
	if (choices) return fc.oneof(...choices.map(valuesOf));
	switch (schema.type) {
		case "string":
			if (schema.pattern) return fc.nat(950).map(String);
			return text.filter((t) => t.length >= (schema.minLength ?? 0));
		case "integer":
			return fc.integer({
				min: Math.max(schema.minimum ?? -9, -9),
				max: Math.min(schema.maximum ?? 900, 900),
			});
		case "number":
			return fc.double({
				min: schema.exclusiveMinimum ?? schema.minimum ?? -9,
				max: Math.min(schema.maximum ?? 9, 9),
				minExcluded: schema.exclusiveMinimum !== undefined,
				noNaN: true,
			});
		case "boolean":
			return fc.boolean();
		case "null":
			return fc.constant(null);
		case "array":
			return fc.array(valuesOf(schema.items ?? {}), {
				minLength: schema.minItems ?? 0,
				maxLength: Math.max(3, schema.minItems ?? 0),
			});
		case "object":
			return objectsOf(schema);
		default:
			return fc.constantFrom(...ODD_VALUES);
	}
}

/** A few of the fields that may be left out: all at once would always hold a wrong one. */
function objectsOf({
	properties = {},
	required = [],
}: JsonSchema): fc.Arbitrary<unknown> {
	const names = Object.keys(properties);
	const optional = names.filter((name) => !required.includes(name));
	const always = [...required, ...names.filter((name) => name in SMALL)];
	const field = (name: string) => SMALL[name] ?? valuesOf(properties[name]);
	return fc
		.subarray(optional, { maxLength: Math.min(5, optional.length) })
		.chain((some) =>
			fc.record(
				Object.fromEntries(
					[...new Set([...always, ...some])].map((name) => [name, field(name)]),
				),
			),
		);
}

interface Damage {
	readonly path: readonly number[];
	readonly value: unknown;
	readonly kind: "replace" | "remove" | "add";
}

const damage: fc.Arbitrary<Damage> = fc.record({
	path: fc.array(fc.nat(20), { minLength: 1, maxLength: 4 }),
	value: fc.constantFrom(...ODD_VALUES),
	kind: fc.constantFrom("replace", "remove", "add"),
});

/** A copy with one place changed; the path's numbers choose among what is there. */
function damaged(value: unknown, { path, value: odd, kind }: Damage): unknown {
	const [at, ...rest] = path;
	if (typeof value !== "object" || value === null) return odd;
	const copy: Record<string, unknown> | unknown[] = Array.isArray(value)
		? [...value]
		: { ...value };
	const keys = Object.keys(copy);
	if (kind === "add" && rest.length === 0)
		return Array.isArray(copy)
			? [...copy, odd]
			: { ...copy, [typeof odd === "string" ? odd : "extra"]: odd };
	if (keys.length === 0) return odd;
	const key = keys[at % keys.length] as keyof typeof copy;
	if (rest.length > 0)
		copy[key] = damaged(copy[key], { path: rest, value: odd, kind }) as never;
	else if (kind === "remove") delete copy[key];
	else copy[key] = odd as never;
	return copy;
}
