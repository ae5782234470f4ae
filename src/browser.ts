/** The public names of nano-vllm/browser: the engine in a worker. The page that imports them loads no engine. */
export type { WireError } from "./browser/messages.ts";
export {
	WorkerLLM,
	type WorkerLoadOptions,
	type WorkerTokenizer,
} from "./browser/worker-llm.ts";
export { type ErrorCode, NanoVllmError } from "./errors.ts";
export { type FileMap, fileMap } from "./weights/source.ts";
