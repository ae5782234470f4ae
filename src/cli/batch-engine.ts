/** An LLM as what answers a batch: the server's app without a socket, so that bodies mean what they mean over HTTP. */
import { ask, type Question } from "../batch/ask.ts";
import { credit } from "../batch/credit.ts";
import type { BatchAnswer } from "../batch/records.ts";
import type { BatchEngine } from "../batch/run-batch.ts";
import type { LLM } from "../index.ts";
import { createApp } from "../server/app.ts";
import type { ServedEngine } from "../server/engine.ts";
import type { ServerOptions } from "../server/options.ts";
import { note } from "./terminal.ts";

/** @throws invalid_option */
export function batchEngine(
	llm: LLM,
	given: Partial<ServerOptions>,
): BatchEngine {
	return {
		answer: answering(llm, given),
		credit: () => creditOf(llm),
		get failure() {
			return llm.failure;
		},
	};
}

export const creditOf = (llm: LLM): number =>
	credit({ maxNumSeqs: llm.engineConfig.maxNumSeqs, ...llm.stats() });

/** Nobody waits for an answer, so none is refused for the queue's length or comes too late. @throws invalid_option */
export function answering(
	llm: LLM,
	given: Partial<ServerOptions>,
): (
	question: Question,
	id: string,
	signal?: AbortSignal,
) => Promise<BatchAnswer> {
	const log = {
		info() {},
		warn() {},
		error(fields: object, message: string) {
			// What an interrupted run leaves unanswered is no failure: the next one answers it.
			if (llm.failure?.code === "engine_closed") return;
			note(`${message}: ${JSON.stringify(fields)}`);
		},
	};
	const patient = { maxQueue: null, requestTimeout: null };
	const app = createApp(wholeAnswers(llm), { ...given, ...patient, log });
	return (question, id, signal) => ask(app.fetch, question, id, signal);
}

/** The same LLM, whose streams are their ends alone: a batch has no use for deltas, and they cost time with every token. */
function wholeAnswers(llm: LLM): ServedEngine {
	return {
		modelName: llm.modelName,
		modelConfig: llm.modelConfig,
		maxModelLen: llm.maxModelLen,
		engineConfig: llm.engineConfig,
		defaultSamplingParams: llm.defaultSamplingParams,
		get failure() {
			return llm.failure;
		},
		get tokenizer() {
			return llm.tokenizer;
		},
		renderChat: (messages, template) => llm.renderChat(messages, template),
		// biome-ignore lint/correctness/useYield: nothing comes before the end
		async *stream(prompt, params, options) {
			const [output] = await llm.generate(prompt, params, options);
			return output;
		},
		loadLoraAdapter: (name, path) => llm.loadLoraAdapter(name, path),
		unloadLoraAdapter: (name) => llm.unloadLoraAdapter(name),
		listLoraAdapters: () => llm.listLoraAdapters(),
		stats: () => llm.stats(),
	};
}
