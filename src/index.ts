/** The public names of nano-vllm. */
export type { WeightSource } from "./backends/backend.ts";
export type {
	EngineConfig,
	SamplingParams,
	SamplingParamsInput,
} from "./config.ts";
export type { EngineStats } from "./engine/engine-stats.ts";
export type {
	ArrivalEvent,
	BlockState,
	EndEvent,
	EngineCounters,
	EngineEvent,
	EngineInfo,
	EngineListener,
	OutputEvent,
	PauseEvent,
	SequenceInfo,
	SequenceState,
	SnapshotEvent,
	StepEvent,
	StepRowEvent,
} from "./engine/events.ts";
export type {
	CompletionDelta,
	CompletionOutput,
	RequestOutput,
	TokenLogprob,
} from "./engine/output.ts";
export type { RequestMetrics } from "./engine/request.ts";
export type { FinishReason } from "./engine/sequence.ts";
export { type ErrorCode, NanoVllmError } from "./errors.ts";
export { History as EngineHistory } from "./inspector/history.ts";
export type {
	InspectedSequence,
	InspectedStep,
	InspectorState,
} from "./inspector/state.ts";
export { type Trace, traceOf } from "./inspector/trace.ts";
export {
	type ChatOptions,
	type GenerateOptions,
	type GenerateProgress,
	LLM,
	type LoadOptions,
	type RequestOptions,
} from "./llm.ts";
export type { LoadProgress } from "./load.ts";
export type { LoraAdapter, LoraRequest } from "./lora.ts";
export type { ModelConfig } from "./models/config.ts";
export type { Prompt } from "./prompt.ts";
export type { StructuredOutputs, Thought } from "./structured-outputs.ts";
export type { ChatMessage } from "./tokenizer/chat-template.ts";
export type { Tokenizer } from "./tokenizer/tokenizer.ts";
export { type FileMap, fileMap, type ModelFiles } from "./weights/source.ts";
