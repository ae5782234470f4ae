/** What the files about JSON schemas share: a schema, a place in it, and how that is refused. */
import { NanoVllmError } from "../errors.ts";

export type Schema = Readonly<Record<string, unknown>>;

/** Narrows the schema at a place below this one. */
export type Inner = (child: unknown, name: string) => Schema;

export function isSchema(value: unknown): value is Schema {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param path a JSON pointer */
export function refuse(path: string, why: string): NanoVllmError {
	return new NanoVllmError(
		"invalid_sampling_params",
		`structuredOutputs.json at ${path || "/"}: ${why}`,
	);
}
