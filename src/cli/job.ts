/** nano-vllm job: what jobs there are on a NATS server, how far they are, who works at them; and their end. */
import type { Command } from "commander";
import type { JobStatus } from "../nats/job.ts";
import type { Presence } from "../nats/presence.ts";
import { addFlags } from "./flags.ts";
import { grouped } from "./format.ts";
import {
	installed,
	NATS_FLAGS,
	type OpenedBroker,
	openNats,
} from "./nats-connection.ts";
import { printable } from "./terminal.ts";

const STATUS_EXAMPLES = `
Examples:
  nano-vllm job status --nats nats://broker:4222
  nano-vllm job status nightly --nats nats://broker:4222 --json
`;

const CANCEL_EXAMPLES = `
Examples:
  nano-vllm job cancel nightly --nats nats://broker:4222

Workers stop at once, and run-batch ends with what was answered by then.
`;

type Options = Readonly<Record<string, unknown>> & { readonly json?: boolean };

export function addJob(program: Command): void {
	const group = program
		.command("job")
		.description("look at the jobs of run-batch --nats, or cancel one");
	const status = group
		.command("status [name]")
		.description("how far a job is and who works at it; all of them")
		.option("--json", "print one JSON object")
		.addHelpText("after", STATUS_EXAMPLES)
		.action((name: string | undefined, options: Options) =>
			connected(options, (broker) => showStatus(broker, name, options)),
		);
	addFlags(status, "NATS:", NATS_FLAGS);
	const cancel = group
		.command("cancel <name>")
		.description("end a job; what was answered stays in its output")
		.addHelpText("after", CANCEL_EXAMPLES)
		.action((name: string, options: Options) =>
			connected(options, async (broker) => {
				const { cancelJob } = await import("../nats/job.ts");
				await cancelJob(broker, name);
				process.stdout.write(`job ${name} is cancelled\n`);
			}),
		);
	addFlags(cancel, "NATS:", NATS_FLAGS);
}

async function connected(
	options: Options,
	run: (broker: OpenedBroker["broker"]) => Promise<void>,
): Promise<void> {
	const opened = await openNats(options, "nano-vllm job");
	try {
		await run(opened.broker);
	} finally {
		await opened.close();
	}
}

async function showStatus(
	broker: OpenedBroker["broker"],
	name: string | undefined,
	{ json }: Options,
): Promise<void> {
	const { jobNames, jobStatus } = await installed(
		() => import("../nats/job.ts"),
	);
	const { listWorkers } = await import("../nats/presence.ts");
	const names = name === undefined ? await jobNames(broker) : [name];
	const jobs: JobStatus[] = [];
	for (const each of names) jobs.push(await jobStatus(broker, each));
	const workers = await listWorkers(broker.workers);
	const text = json
		? JSON.stringify({ jobs, workers }, null, 2)
		: report(jobs, workers);
	process.stdout.write(`${printable(text)}\n`);
}

/** A line for each job, and for each worker. */
export function report(
	jobs: readonly JobStatus[],
	workers: readonly Presence[],
): string {
	const shown = jobs.flatMap((job) => [
		jobLine(job),
		...workers.flatMap(({ id, refused }) => {
			const reason = refused[job.record.job];
			return reason === undefined ? [] : [`  left alone by ${id}: ${reason}`];
		}),
	]);
	const none = ["no workers"];
	return [
		...(jobs.length === 0 ? ["no jobs"] : shown),
		...(workers.length === 0 ? none : workers.map(workerLine)),
	].join("\n");
}

function jobLine(status: JobStatus): string {
	const { collector, progress, record } = status;
	const { numUncollected, numWaiting, numWorkedOn } = status;
	const isOn = record.state === "running";
	const count = (value: number | null, what: string) =>
		value === null ? [] : [`${grouped(value)} ${what}`];
	return [
		`job ${record.job}: ${record.state}`,
		`${grouped(progress?.numLines ?? 0)} of ${grouped(record.numLines)} lines`,
		...(progress?.numFailed ? [`${grouped(progress.numFailed)} failed`] : []),
		...count(numWaiting, "waiting"),
		...count(numWorkedOn, "worked on"),
		...count(numUncollected, "to collect"),
		record.model,
		...(isOn ? [collector === null ? "nobody collects" : collector] : []),
	].join(" · ");
}

const workerLine = (worker: Presence): string =>
	[
		`worker ${worker.id}: ${worker.served.names.join(", ")} on ${worker.device}`,
		`${grouped(worker.numInFlight)} of ${grouped(worker.credit)} in flight`,
		`${grouped(worker.numAnswered)} answered`,
	].join(" · ");
