/** A job while it is collected: the lease, the record, the workers and the collector, opened and closed together. */
import { NanoVllmError } from "../errors.ts";
import type { Broker } from "./broker.ts";
import { Collector } from "./collector.ts";
import {
	endJob,
	type JobProgress,
	jobBefore,
	startJob,
	tellProgress,
} from "./job.ts";
import { type JobRecord, mismatch } from "./job-record.ts";
import { takeLease } from "./lease.ts";
import { Fleet, type Presence } from "./presence.ts";

export interface CollectionOptions {
	readonly broker: Broker;
	readonly wanted: JobRecord;
	/** Where answers go: see lease.ts. */
	readonly holder: string;
	readonly runId: string;
	readonly isWritten: (line: number) => boolean;
	readonly now: () => number;
	readonly signal: AbortSignal;
}

export interface Collection {
	readonly record: JobRecord;
	readonly engine: Collector;
	numWorkers(): number;
	tell(progress: JobProgress): Promise<void>;
	/** Everything is on the disk: the broker may forget it. */
	done(): Promise<void>;
	/** The job stays where it is unless it is done. */
	close(): Promise<void>;
}

/** @throws invalid_option where another job has the name, or another process collects it; job_cancelled, broker_failed */
export async function openCollection(
	options: CollectionOptions,
): Promise<Collection> {
	const { broker, holder, now, wanted } = options;
	const { job } = wanted;
	const ended = new AbortController();
	const signal = AbortSignal.any([options.signal, ended.signal]);
	const onLost = (error: NanoVllmError) => ended.abort(error);
	const { collectors } = broker;
	// A name that is taken need not wait for its collector.
	await jobBefore(broker, wanted);
	const lease = await takeLease(collectors, job, holder, signal, onLost);
	try {
		const record = await startJob(broker, wanted);
		const takes = ({ served }: Presence) => mismatch(record, served) === null;
		const fleet = new Fleet(broker.workers, signal, now);
		const engine = await Collector.open({
			...options,
			...{ record, fleet, takes },
		});
		ended.signal.addEventListener("abort", () => {
			const { reason } = ended.signal;
			if (reason instanceof NanoVllmError) engine.fail(reason);
		});
		return {
			record,
			engine,
			numWorkers: () => fleet.serving(takes).length,
			async tell(progress) {
				// While the broker is away there is nobody to tell; the next telling says it all.
				await tellProgress(broker, job, progress).catch(() => {});
			},
			done: () => endJob(broker, record, "done"),
			async close() {
				engine.close();
				ended.abort();
				await lease.release();
			},
		};
	} catch (error) {
		await lease.release();
		throw error;
	}
}
