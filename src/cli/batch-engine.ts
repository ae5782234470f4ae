/** An LLM as what answers a batch: the server's app without a socket, so that bodies mean what they mean over HTTP. */
import type { BatchEngine } from "../batch/run-batch.ts";
import type { LLM } from "../index.ts";
import { createApp } from "../server/app.ts";
import type { ServerOptions } from "../server/options.ts";
import { note } from "./terminal.ts";

/** Nobody waits for an answer, so none is refused for the queue's length or comes too late. @throws invalid_option */
export function batchEngine(
	llm: LLM,
	given: Partial<ServerOptions>,
): BatchEngine {
	const log = {
		info() {},
		warn() {},
		error: (fields: object, message: string) =>
			note(`${message}: ${JSON.stringify(fields)}`),
	};
	const patient = { maxQueue: null, requestTimeout: null };
	const app = createApp(llm, { ...given, ...patient, log });
	return {
		answer: (request) => app.fetch(request),
		load: () => ({
			maxNumSeqs: llm.engineConfig.maxNumSeqs,
			...llm.stats(),
		}),
		get failure() {
			return llm.failure;
		},
	};
}
