/** Which workers there are and what they do, as they say themselves every few seconds. */
import type { KV } from "@nats-io/kv";
import { PRESENCE_TTL_MS } from "./broker.ts";
import type { Served } from "./job-record.ts";
import { watchKeys } from "./watch.ts";

/** What a person wants to know of a worker. */
export interface WorkerAbout {
	readonly host: string;
	readonly device: string;
}

export interface Presence extends WorkerAbout {
	readonly id: string;
	readonly served: Served;
	/** Sequences it would hold at once, and those it holds. */
	readonly credit: number;
	readonly numInFlight: number;
	readonly numAnswered: number;
	/** JOB → why it is left to others. */
	readonly refused: Readonly<Record<string, string>>;
}

export const PRESENCE_EVERY_MS = PRESENCE_TTL_MS / 3;

export async function listWorkers(workers: KV): Promise<Presence[]> {
	const found: Presence[] = [];
	for await (const key of await workers.keys()) {
		const entry = await workers.get(key);
		if (entry?.operation === "PUT") found.push(entry.json());
	}
	return found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** The workers that have been heard of lately. */
export class Fleet {
	readonly #seen = new Map<string, { presence: Presence; at: number }>();
	readonly #now: () => number;

	constructor(workers: KV, signal: AbortSignal, now: () => number) {
		this.#now = now;
		void watchKeys(workers, ">", signal, (entry) => {
			if (entry.operation !== "PUT") this.#seen.delete(entry.key);
			else this.#seen.set(entry.key, { presence: entry.json(), at: now() });
		});
	}

	/** Those that take a job. */
	serving(takes: (presence: Presence) => boolean): Presence[] {
		const since = this.#now() - PRESENCE_TTL_MS;
		return [...this.#seen.values()]
			.filter(({ presence, at }) => at >= since && takes(presence))
			.map(({ presence }) => presence);
	}
}
