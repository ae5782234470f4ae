/** nano-vllm worker: an engine that answers the jobs of run-batch --nats, until it is told to end. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Command } from "commander";
import type { LLM } from "../index.ts";
import type { WorkerEngine } from "../nats/worker.ts";
import { resolveServerOptions, type ServerOptions } from "../server/options.ts";
import { ANSWER_FLAGS, allChoices, modelName } from "./answer-options.ts";
import { answering, creditOf } from "./batch-engine.ts";
import { addEngineFlags, engineOptions } from "./engine-flags.ts";
import { addFlags, type FlagTable, givenFlags } from "./flags.ts";
import { plural } from "./format.ts";
import { addModelFlag, chosenModel, modelLine, openModel } from "./model.ts";
import {
	installed,
	NATS_FLAGS,
	type OpenedBroker,
	openNats,
} from "./nats-connection.ts";
import { LISTEN_DEFAULTS, LISTEN_FLAGS, SERVER_FLAGS } from "./serve-flags.ts";
import { note, withInterrupt } from "./terminal.ts";

const EXAMPLES = `
Examples:
  nano-vllm worker --nats nats://broker:4222 --model Qwen/Qwen3-0.6B
  nano-vllm worker --nats tls://broker:4222 --nats-creds me.creds --model ./qwen3 --served-model-name Qwen/Qwen3-0.6B --device cpu

SIGTERM or Ctrl-C: it takes nothing more, ends what it has, and gives back what takes longer than --shutdown-timeout.
A second one gives back at once.
`;

interface WorkerFlags {
	readonly servedModelName: readonly string[];
	readonly shutdownTimeout: number;
}

const WORKER_FLAGS: FlagTable = {
	servedModelName: {
		...SERVER_FLAGS.servedModelName,
		about:
			"name jobs may ask for this model by; may come again (default: the model's)",
	},
	shutdownTimeout: LISTEN_FLAGS.shutdownTimeout,
};

type Options = Readonly<Record<string, unknown>> & { readonly model?: string };

export function addWorker(program: Command): void {
	const command = program
		.command("worker")
		.description("answer the requests of run-batch --nats, from any machine")
		.addHelpText("after", EXAMPLES)
		.action((options: Options) =>
			withInterrupt((signal) => serveJobs(options, signal)),
		);
	addModelFlag(command);
	const { shutdownTimeout } = LISTEN_DEFAULTS;
	addFlags(command, "Worker:", WORKER_FLAGS, { shutdownTimeout });
	addFlags(command, "NATS:", NATS_FLAGS);
	addEngineFlags(command);
}

async function serveJobs(options: Options, signal: AbortSignal): Promise<void> {
	const model = chosenModel(undefined, options.model);
	const given = givenFlags<WorkerFlags>(WORKER_FLAGS, options);
	const { shutdownTimeout = LISTEN_DEFAULTS.shutdownTimeout } = given;
	// Who is not let in need not load a model.
	const opened = await openNats(options, "nano-vllm worker");
	try {
		const { Worker } = await installed(() => import("../nats/worker.ts"));
		await using llm = await openModel(model, engineOptions(options), signal);
		const names = given.servedModelName ?? [modelName(model)];
		note(`${modelLine(llm)} · as ${names.join(", ")}`);
		const worker = new Worker({
			broker: opened.broker,
			engine: engineOf(llm, names, engineOptions(options)),
			id: `${hostname().replace(/[^\w-]/g, "-")}-${process.pid}-${randomBytes(3).toString("hex")}`,
			about: { host: hostname(), device: llm.device },
			log: (text) => note(text),
			now: () => performance.now(),
		});
		await untilTold(opened, signal, shutdownTimeout, (told, graceMs) =>
			worker.run(told, graceMs),
		);
		note(`${plural(worker.numAnswered, "request")} answered`);
	} finally {
		await opened.close();
	}
}

/** SIGTERM, Ctrl-C or a broker that is lost for good; the second signal ends the grace. */
async function untilTold(
	{ lost }: OpenedBroker,
	signal: AbortSignal,
	shutdownTimeout: number,
	run: (signal: AbortSignal, graceMs: () => number) => Promise<void>,
): Promise<void> {
	const told = new AbortController();
	let numTold = 0;
	const end = () => {
		numTold++;
		told.abort();
	};
	void lost.then((error) => told.abort(error));
	process.on("SIGTERM", end);
	process.on("SIGINT", end);
	if (signal.aborted) end();
	try {
		await run(told.signal, () => (numTold === 1 ? shutdownTimeout * 1000 : 0));
	} finally {
		process.removeListener("SIGTERM", end);
		process.removeListener("SIGINT", end);
	}
	if (numTold === 0) throw told.signal.reason;
}

function engineOf(
	llm: LLM,
	names: readonly string[],
	given: ReturnType<typeof engineOptions>,
): WorkerEngine {
	const { maxModelLen } = llm;
	return {
		served: { names, engine: { ...allChoices({ ...given, maxModelLen }) } },
		credit: () => creditOf(llm),
		get failure() {
			return llm.failure;
		},
		open(answers) {
			const known = Object.keys(ANSWER_FLAGS);
			const chosen: Partial<ServerOptions> = Object.fromEntries(
				Object.entries(answers).filter(([key]) => known.includes(key)),
			);
			resolveServerOptions(chosen);
			return answering(llm, chosen);
		},
	};
}
