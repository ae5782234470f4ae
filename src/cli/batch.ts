/** Runs plain and chat tasks in one batch of one engine, and measures it. */
import type { SamplingParamsInput } from "../config.ts";
import type {
	GenerateOptions,
	GenerateProgress,
	LLM,
	LoraRequest,
	RequestOutput,
} from "../index.ts";
import type { NamedAdapters } from "./adapters.ts";
import { figure, grouped, plural } from "./format.ts";
import type { Task } from "./prompts.ts";

/** Results in the order of the tasks. Both kinds are queued before the first step ends, so they share the batch. */
export async function runTasks(
	llm: LLM,
	tasks: readonly Task[],
	params: SamplingParamsInput,
	adapters: NamedAdapters,
	{ progress, signal }: GenerateOptions,
): Promise<RequestOutput[]> {
	const texts = tasks.flatMap((t) => (t.kind === "continue" ? [t.prompt] : []));
	const chats = tasks.flatMap((t) => (t.kind === "chat" ? [t.messages] : []));
	const loraOf = (kind: Task["kind"]) =>
		tasks.filter((t) => t.kind === kind).map((t) => adapters.request(t.lora));
	const [textLora, chatLora] = [loraOf("continue"), loraOf("chat")];
	const finished = [0, 0];
	const start = performance.now();
	const before = llm.stats();
	// Each call counts its own requests, the engine counts all tokens.
	const report = (part: number) => (of: GenerateProgress) => {
		finished[part] = of.numFinished;
		const { numPromptTokens, numGenerationTokens } = llm.stats();
		progress?.({
			numFinished: finished[0] + finished[1],
			numRequests: tasks.length,
			numPromptTokens: numPromptTokens - before.numPromptTokens,
			numGenerationTokens: numGenerationTokens - before.numGenerationTokens,
			elapsedMs: performance.now() - start,
		});
	};
	const [continued, answered] = await Promise.all([
		llm.generate(texts, params, {
			signal,
			progress: report(0),
			loraRequest: orNone(textLora),
		}),
		chats.length === 0
			? []
			: llm.chat(chats, params, {
					signal,
					progress: report(1),
					loraRequest: orNone(chatLora),
				}),
	]);
	let text = 0;
	let chat = 0;
	return tasks.map(({ kind }) =>
		kind === "continue" ? continued[text++] : answered[chat++],
	);
}

/** A model without room for adapters is asked for none. */
const orNone = (requests: readonly (LoraRequest | null)[]) =>
	requests.every((request) => request === null) ? undefined : requests;

/** Tokens per second of each phase. The time between two reports is the phase's that made more tokens in it. */
export function createMeter(): (progress: GenerateProgress) => string {
	let last = { numPromptTokens: 0, numGenerationTokens: 0, elapsedMs: 0 };
	const prefill = { tokens: 0, ms: 0 };
	const decode = { tokens: 0, ms: 0 };
	const rate = ({ tokens, ms }: typeof prefill) =>
		tokens === 0 ? "-" : figure((1000 * tokens) / ms);
	return (progress) => {
		const numPrompt = progress.numPromptTokens - last.numPromptTokens;
		const numNew = progress.numGenerationTokens - last.numGenerationTokens;
		const phase = numPrompt > numNew ? prefill : decode;
		phase.tokens += Math.max(numPrompt, numNew);
		phase.ms += progress.elapsedMs - last.elapsedMs;
		last = progress;
		const { numFinished, numRequests } = progress;
		return `${numFinished}/${numRequests} done · prefill ${rate(prefill)} tok/s · decode ${rate(decode)} tok/s`;
	};
}

export interface Totals {
	readonly requests: number;
	readonly promptTokens: number;
	readonly outputTokens: number;
	readonly seconds: number;
	readonly outputTokensPerSecond: number;
	readonly totalTokensPerSecond: number;
}

export function totalsOf(
	results: readonly RequestOutput[],
	seconds: number,
): Totals {
	let promptTokens = 0;
	let outputTokens = 0;
	for (const { promptTokenIds, outputs } of results) {
		promptTokens += promptTokenIds.length;
		for (const { tokenIds } of outputs) outputTokens += tokenIds.length;
	}
	return {
		requests: results.length,
		promptTokens,
		outputTokens,
		seconds,
		outputTokensPerSecond: outputTokens / seconds,
		totalTokensPerSecond: (promptTokens + outputTokens) / seconds,
	};
}

export const totalsLine = (totals: Totals): string =>
	[
		plural(totals.requests, "request"),
		`${grouped(totals.promptTokens)} prompt + ${grouped(totals.outputTokens)} output tokens`,
		`${figure(totals.seconds)} s`,
		`${figure(totals.outputTokensPerSecond)} output tok/s`,
		`${figure(totals.totalTokensPerSecond)} total tok/s`,
	].join(" · ");
