/** /v1/models: the names this server answers to. */
import { checkModel, type Services } from "./generation.ts";

const modelOf = ({ engine, startedAt }: Services, id: string) => ({
	id,
	object: "model",
	created: startedAt,
	owned_by: "nano-vllm",
	root: engine.modelName,
	parent: null,
	max_model_len: engine.maxModelLen,
});

export function listModels(services: Services): Response {
	const data = services.modelNames.map((id) => modelOf(services, id));
	return Response.json({ object: "list", data });
}

/** @throws ApiError 404 */
export function retrieveModel(services: Services, id: string): Response {
	return Response.json(modelOf(services, checkModel(services, id)));
}
