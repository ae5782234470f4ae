/**
 * LoRA adapters as models a request may name, and how they come and go while the server runs. Knows no answers. After vLLM's
 * load_lora_adapter and unload_lora_adapter.
 */
import { z } from "zod";
import type { LoraRequest } from "../index.ts";
import { ApiError, badRequest } from "./api-error.ts";
import type { Call, Services } from "./generation.ts";
import { MAX_PATH_LENGTH } from "./limits.ts";
import { name } from "./sampling-schema.ts";

export const loadAdapterBody = z.object({
	lora_name: name.describe("what requests will call it as their model"),
	lora_path: z
		.string()
		.min(1)
		.max(MAX_PATH_LENGTH)
		.describe("a PEFT folder on the server, a URL of one, or an id of the hub"),
});

export const unloadAdapterBody = z.object({ lora_name: name });

/** The adapter that a model's name means; null for the model itself. The name has been checked. */
export function loraRequestOf(
	{ modelNames }: Services,
	model: string | null | undefined,
): LoraRequest | null {
	const isBase = model == null || modelNames.includes(model);
	return isBase ? null : { name: model };
}

/** @throws ApiError 403, 400 for a name in use; NanoVllmError of files that are no adapter for this model */
export async function loadAdapter(
	call: Call,
	body: z.output<typeof loadAdapterBody>,
): Promise<Response> {
	const { engine, modelNames } = call.services;
	const { lora_name: adapter, lora_path: path } = body;
	checkAllowed(call.services);
	const loaded = engine.listLoraAdapters().map((each) => each.name);
	if ([...modelNames, ...loaded].includes(adapter))
		throw badRequest(
			`there is a model ${JSON.stringify(adapter)} here already. Unload it first, or choose another name.`,
			"lora_name",
		);
	await engine.loadLoraAdapter(adapter, path);
	call.onEnd({ loaded: adapter }, null);
	return new Response(`adapter ${adapter} is loaded\n`);
}

/** Requests that go through it end as they would. @throws ApiError 403; NanoVllmError adapter_not_found */
export function unloadAdapter(
	call: Call,
	{ lora_name: adapter }: z.output<typeof unloadAdapterBody>,
): Response {
	checkAllowed(call.services);
	call.services.engine.unloadLoraAdapter(adapter);
	call.onEnd({ unloaded: adapter }, null);
	return new Response(`adapter ${adapter} is unloaded\n`);
}

/** Whoever may load an adapter may have this machine read any folder or address. */
function checkAllowed({ options }: Services): void {
	if (options.allowRuntimeLoraUpdating) return;
	throw new ApiError(
		403,
		"this server's adapters are those it was started with. To load and unload others, start it with --allow-runtime-lora-updating.",
		{ code: "lora_updating_not_allowed" },
	);
}
