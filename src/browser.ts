/** The public names of nano-vllm/browser: the engine in a worker, and the models this browser keeps. A page that imports them loads no engine. */
export {
	type CachedModel,
	deleteCachedModel,
	listCachedModels,
} from "./browser/cached-models.ts";
export { droppedFiles, type UserFiles } from "./browser/dropped-files.ts";
export { type KeepOptions, keepModel } from "./browser/keep-model.ts";
export {
	WorkerLLM,
	type WorkerLoadOptions,
	type WorkerTokenizer,
} from "./browser/worker-llm.ts";
export { type ErrorCode, NanoVllmError } from "./errors.ts";
export { type FileMap, fileMap } from "./weights/source.ts";
