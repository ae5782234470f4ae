/** The OpenAPI 3.1 document, made of the table of routes and the schemas that check the bodies: what it says is what is done. */
import { z } from "zod";
import type { Route } from "./routes.ts";

const ERROR = {
	type: "object",
	properties: {
		error: {
			type: "object",
			properties: {
				message: { type: "string" },
				type: { type: "string" },
				param: { type: ["string", "null"] },
				code: { type: ["string", "null"] },
			},
			required: ["message", "type", "param", "code"],
		},
	},
	required: ["error"],
};

export function openApiDocument(
	routes: readonly Route[],
	version: string,
): object {
	const paths: Record<string, Record<string, object>> = {};
	for (const route of routes) {
		const path = route.path.replace(/:(\w+)\{[^}]*\}/g, "{$1}");
		paths[path] ??= {};
		paths[path][route.method.toLowerCase()] = operation(route, path);
	}
	return {
		openapi: "3.1.0",
		info: {
			title: "nano-vLLM",
			version,
			description:
				"OpenAI's API with vLLM's additional fields. Unknown fields are ignored.",
		},
		paths,
		components: {
			schemas: { Error: ERROR },
			securitySchemes: { key: { type: "http", scheme: "bearer" } },
		},
	};
}

function operation({ about, body, isOpen }: Route, path: string): object {
	const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
		name,
		in: "path",
		required: true,
		schema: { type: "string" },
	}));
	const error = {
		description: "What is wrong, in OpenAI's form.",
		content: {
			"application/json": { schema: { $ref: "#/components/schemas/Error" } },
		},
	};
	return {
		summary: about,
		...(parameters.length > 0 && { parameters }),
		...(body && {
			requestBody: {
				required: true,
				content: { "application/json": { schema: jsonSchemaOf(body) } },
			},
		}),
		...(!isOpen && { security: [{ key: [] }, {}] }),
		responses: {
			200: { description: "Done." },
			...((body || !isOpen) && { "4XX": error }),
			...((body || isOpen) && { 503: error }),
		},
	};
}

function jsonSchemaOf(schema: z.ZodType): object {
	const { $schema, ...rest } = z.toJSONSchema(schema, { io: "input" });
	return rest;
}
