/** Arrays and objects of a JSON schema as XGrammar gets them right (json-schema.ts). */
import { type Inner, isSchema, refuse, type Schema } from "./schema.ts";

/** @throws invalid_sampling_params */
export function narrowArray(
	schema: Schema,
	path: string,
	inner: Inner,
): Schema {
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

/** @throws invalid_sampling_params */
export function narrowObject(
	schema: Schema,
	path: string,
	inner: Inner,
): Schema {
	const { properties = {}, required = [] } = schema;
	const { min, max } = countsOf(schema, "minProperties", "maxProperties", path);
	if (!isSchema(properties))
		throw refuse(path, '"properties" must be an object of schemas.');
	if (!Array.isArray(required) || required.some((n) => typeof n !== "string"))
		throw refuse(path, '"required" must be a list of names.');
	const extra = schema.additionalProperties ?? schema.unevaluatedProperties;
	const names = new Set<string>(required);
	const described: Record<string, Schema> = Object.create(null);
	for (const [name, child] of Object.entries(properties))
		if (child !== false || names.has(name))
			described[name] = inner(child, `properties/${name}`);
	for (const name of names)
		described[name] ??= inner(extra ?? true, `required/${name}`);
	for (const name of Object.keys(described))
		if (JSON.stringify(name) !== `"${name}"`)
			throw refuse(
				path,
				`a property's name may hold no quotes, backslashes or control characters, got ${JSON.stringify(name)}.`,
			);
	// Without any description an object may hold anything; with one, nothing else.
	const others = extra ?? Object.keys(described).length === 0;
	return {
		type: "object",
		properties: described,
		required: [...names],
		additionalProperties:
			others === false ? false : inner(others, "additionalProperties"),
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
