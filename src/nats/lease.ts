/** One collector a job: who has its lease says so again and again, and a second one is refused. */
import type { KV } from "@nats-io/kv";
import { NanoVllmError } from "../errors.ts";
import { PRESENCE_TTL_MS } from "./broker.ts";
import { pause } from "./persist.ts";

const RENEW_MS = PRESENCE_TTL_MS / 3;
/** A dead one's lease is gone by then. */
const WAIT_MS = PRESENCE_TTL_MS + 3000;
const LOOK_MS = 500;

export interface Lease {
	release(): Promise<void>;
}

/**
 * @param holder the same one after a restart, who need not wait: it must be sure that its former self is dead
 * @param onLost another has it now
 * @throws invalid_option where another collects the job
 */
export async function takeLease(
	collectors: KV,
	job: string,
	holder: string,
	signal: AbortSignal,
	onLost: (error: NanoVllmError) => void,
): Promise<Lease> {
	for (let waited = 0; ; waited += LOOK_MS) {
		const other = await otherHolder(collectors, job, holder);
		if (other === null) break;
		if (waited >= WAIT_MS) throw taken(job, other);
		await pause(LOOK_MS, signal);
		signal.throwIfAborted();
	}
	await collectors.put(job, holder);
	const renew = async () => {
		try {
			const other = await otherHolder(collectors, job, holder);
			if (other === null) await collectors.put(job, holder);
			else onLost(taken(job, other));
		} catch {
			// the broker is away
		}
	};
	const timer = setInterval(() => void renew(), RENEW_MS);
	return {
		async release() {
			clearInterval(timer);
			// Where the broker is away, it fades by itself.
			await collectors.delete(job).catch(() => {});
		},
	};
}

async function otherHolder(
	collectors: KV,
	job: string,
	holder: string,
): Promise<string | null> {
	const entry = await collectors.get(job);
	if (entry === null || entry.operation !== "PUT") return null;
	const found = entry.string();
	return found === holder ? null : found;
}

const taken = (job: string, other: string): NanoVllmError =>
	new NanoVllmError(
		"invalid_option",
		`job ${job} is being collected into ${other}. Let that end, or give another --job.`,
	);
