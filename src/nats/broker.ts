/** A connection with what jobs need of JetStream on it. The connection is its maker's: Node's, or a browser's. */
import {
	type JetStreamClient,
	type JetStreamManager,
	jetstream,
	jetstreamManager,
} from "@nats-io/jetstream";
import { type KV, type KvLimits, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/nats-core";
import { NanoVllmError } from "../errors.ts";
import {
	COLLECTORS_BUCKET,
	JOBS_BUCKET,
	TRIES_BUCKET,
	WORKERS_BUCKET,
} from "./protocol.ts";

export interface Broker {
	readonly nc: NatsConnection;
	readonly js: JetStreamClient;
	readonly jsm: JetStreamManager;
	/** JOB → its record; JOB.progress → how far it is. */
	readonly jobs: KV;
	/** Worker → what it serves and does. */
	readonly workers: KV;
	/** JOB → who collects it. */
	readonly collectors: KV;
	/** JOBID.LINE → how often a worker has begun it alone. */
	readonly tries: KV;
}

const DAY_MS = 24 * 60 * 60 * 1000;
/** A job nobody has touched for so long is forgotten. */
const JOBS_TTL_MS = 30 * DAY_MS;
const TRIES_TTL_MS = DAY_MS;
/** Whoever is in these buckets says so again every third of this. */
export const PRESENCE_TTL_MS = 15_000;

/** @throws broker_failed where JetStream is off, or these streams may not be made */
export async function openBroker(nc: NatsConnection): Promise<Broker> {
	const kvm = new Kvm(nc);
	const bucket = (name: string, ttl: number) =>
		kvm.create(name, { history: 1, ttl } as Partial<KvLimits>);
	try {
		return {
			nc,
			js: jetstream(nc),
			jsm: await jetstreamManager(nc),
			jobs: await bucket(JOBS_BUCKET, JOBS_TTL_MS),
			workers: await bucket(WORKERS_BUCKET, PRESENCE_TTL_MS),
			collectors: await bucket(COLLECTORS_BUCKET, PRESENCE_TTL_MS),
			tries: await bucket(TRIES_BUCKET, TRIES_TTL_MS),
		};
	} catch (cause) {
		throw new NanoVllmError(
			"broker_failed",
			`the NATS server at ${nc.getServer()} would not give JetStream (${(cause as Error).message}). Start it with JetStream (nats-server -js), and let this user make streams.`,
			{ cause },
		);
	}
}
