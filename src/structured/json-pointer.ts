/** References of a JSON schema into itself. JSON Pointer: RFC 6901. */
import { isSchema, refuse, type Schema } from "./schema.ts";

/** The place that a reference means, past references that stand there alone. @throws invalid_sampling_params */
export function followReferences(
	root: Schema,
	ref: unknown,
	path: string,
): string {
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
		const target = resolvePointer(root, pointer);
		if (target === undefined)
			throw refuse(path, `"$ref" ${JSON.stringify(ref)} points to nothing.`);
		if (!isSchema(target) || !("$ref" in target)) return pointer;
		at = target.$ref;
	}
}

/** Undefined where there is nothing. */
export function resolvePointer(root: Schema, pointer: string): unknown {
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
