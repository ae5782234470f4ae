/** /v1/models: the names this server answers to, the model's own and its adapters'. */
import type { LoraAdapter } from "../index.ts";
import { checkModel, type Services } from "./generation.ts";

const modelOf = (
	{ engine, modelNames, startedAt }: Services,
	id: string,
	adapter: LoraAdapter | undefined,
) => ({
	id,
	object: "model",
	created: startedAt,
	owned_by: "nano-vllm",
	root: adapter?.path ?? engine.modelName,
	parent: adapter === undefined ? null : modelNames[0],
	max_model_len: engine.maxModelLen,
});

export function listModels(services: Services): Response {
	const { engine, modelNames } = services;
	const data = [
		...modelNames.map((id) => modelOf(services, id, undefined)),
		...engine
			.listLoraAdapters()
			.map((adapter) => modelOf(services, adapter.name, adapter)),
	];
	return Response.json({ object: "list", data });
}

/** @throws ApiError 404 */
export function retrieveModel(services: Services, id: string): Response {
	const { engine, modelNames } = services;
	const model = checkModel(services, id);
	const adapter = modelNames.includes(model)
		? undefined
		: engine.listLoraAdapters().find(({ name }) => name === model);
	return Response.json(modelOf(services, model, adapter));
}
