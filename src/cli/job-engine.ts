/** run-batch --nats: the workers of a job as what answers a batch. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Command } from "commander";
import type { BatchProgress } from "../batch/run-batch.ts";
import type { EngineConfig } from "../config.ts";
import { NanoVllmError } from "../errors.ts";
import type { Collection } from "../nats/collection.ts";
import type { JobProgress } from "../nats/job.ts";
import type { JobRecord } from "../nats/job-record.ts";
import { ANSWER_OPTIONS, modelName, namedChoices } from "./answer-options.ts";
import { ENGINE_FLAGS, engineOptions } from "./engine-flags.ts";
import { addFlags, type FlagTable, givenFlags, kebab } from "./flags.ts";
import { plural } from "./format.ts";
import { NATS_FLAGS, type OpenedBroker, openNats } from "./nats-connection.ts";
import type { BatchToOpen, OpenedEngine } from "./run-batch.ts";
import { note } from "./terminal.ts";
import { parseInteger, parseNumber } from "./values.ts";

interface JobFlags {
	readonly job: string;
	readonly ackWait: number;
	readonly maxDeliveries: number;
}

const JOB_DEFAULTS = { ackWait: 30, maxDeliveries: 4 };

const JOB_FLAGS: FlagTable = {
	job: {
		about:
			"the job's name, for status and cancel (default: a hash of the input and these flags)",
		value: "name",
	},
	ackWait: {
		about: "a worker not heard of for so long is dead: others get its requests",
		value: "seconds",
		parse: parseNumber,
	},
	maxDeliveries: {
		about:
			"workers a request may take with it before it is given up, from 3: two in company, then alone",
		value: "n",
		parse: parseInteger,
	},
};

export function addJobFlags(command: Command): void {
	const { nats, ...access } = NATS_FLAGS;
	const table = { nats, ...JOB_FLAGS, ...access };
	addFlags(command, "Across machines:", table, JOB_DEFAULTS);
}

const TELL_MS = 2000;
const LOOK_FOR_WORKERS_MS = 10_000;

/** @throws invalid_option, job_cancelled, broker_failed */
export async function openJob(batch: BatchToOpen): Promise<OpenedEngine> {
	const { isWritten, outputPath, signal } = batch;
	const wanted = await recordFor(batch);
	const opened = await openNats(batch.options, "nano-vllm run-batch");
	try {
		const { openCollection } = await import("../nats/collection.ts");
		const collection = await openCollection({
			broker: opened.broker,
			...{ wanted, isWritten, signal },
			holder: `${hostname()}:${outputPath}`,
			runId: randomBytes(6).toString("hex"),
			now: () => performance.now(),
		});
		void opened.lost.then((error) => collection.engine.fail(error));
		return engineOf(collection, opened);
	} catch (error) {
		await opened.close();
		throw error;
	}
}

function engineOf(collection: Collection, opened: OpenedBroker): OpenedEngine {
	const { engine, record } = collection;
	const { job, model } = record;
	const teller = createTeller(collection.tell);
	const lookout = lookForWorkers(record, collection.numWorkers);
	let isDone = false;
	return {
		engine,
		line: `job ${job} · ${model} · through ${opened.broker.nc.getServer()}`,
		stats: () => engine.stats(),
		onProgress: teller.show,
		async onDone() {
			await teller.last();
			await collection.done();
			isDone = true;
		},
		async close() {
			clearInterval(lookout);
			if (!isDone && engine.failure === null)
				note(
					`job ${job} stays on the NATS server: start this again to go on, or nano-vllm job cancel ${job}`,
				);
			await collection.close();
			await opened.close();
		},
	};
}

async function recordFor(batch: BatchToOpen): Promise<JobRecord> {
	const { given, jobId, model, numLines, options } = batch;
	const { PROTOCOL, checkJobName } = await import("../nats/protocol.ts");
	const engine = engineOptions(options);
	checkChoices(engine);
	const flags = givenFlags<JobFlags>(JOB_FLAGS, options);
	const { job = jobId, ackWait, maxDeliveries } = { ...JOB_DEFAULTS, ...flags };
	checkJobName(job);
	if (!(ackWait >= 0.5 && ackWait <= 86_400))
		throw new NanoVllmError(
			"invalid_option",
			`--ack-wait must be seconds from 0.5 to 86400, got ${ackWait}.`,
		);
	if (!(maxDeliveries >= 3 && maxDeliveries <= 100))
		throw new NanoVllmError(
			"invalid_option",
			`--max-deliveries must be from 3 to 100, got ${maxDeliveries}.`,
		);
	return {
		protocol: PROTOCOL,
		...{ job, jobId, maxDeliveries, numLines },
		model: modelName(model),
		engine: { ...namedChoices(engine) },
		answers: { ...given },
		ackWaitMs: ackWait * 1000,
		createdAt: new Date().toISOString(),
		state: "running",
	};
}

/** Options of an engine that is not here. @throws invalid_option */
function checkChoices(engine: Partial<EngineConfig>): void {
	const known: readonly string[] = ANSWER_OPTIONS;
	const other = Object.keys(engine).find((key) => !known.includes(key));
	if (other === undefined) return;
	const name = ENGINE_FLAGS[other as keyof EngineConfig].name ?? kebab(other);
	throw new NanoVllmError(
		"invalid_option",
		`--${name} is for the workers to know: with --nats there is no engine here. Give it to nano-vllm worker.`,
	);
}

interface Teller {
	show(progress: BatchProgress): void;
	/** What was last shown. */
	last(): Promise<void>;
}

/** Not at every line. */
function createTeller(tell: (progress: JobProgress) => Promise<void>): Teller {
	let toldAt = 0;
	let latest = { numLines: 0, numEarlier: 0, numFailed: 0 };
	const last = () => tell({ ...latest, at: Date.now() });
	return {
		last,
		show({ numLines, numEarlier, numFailed }) {
			latest = { numLines, numEarlier, numFailed };
			if (Date.now() - toldAt < TELL_MS) return;
			toldAt = Date.now();
			void last();
		},
	};
}

/** Says when there is nobody to do the work, and when there is again. */
function lookForWorkers(
	{ job, model }: JobRecord,
	count: () => number,
): ReturnType<typeof setInterval> {
	let told: number | null = null;
	return setInterval(() => {
		const numWorkers = count();
		if ((told === null || told > 0) && numWorkers === 0)
			note(
				`no worker takes job ${job}: start nano-vllm worker --model ${model} with the same --nats, or see nano-vllm job status ${job}`,
			);
		else if (told !== null && told !== numWorkers)
			note(`${plural(numWorkers, "worker")} at job ${job}`);
		told = numWorkers;
	}, LOOK_FOR_WORKERS_MS);
}
