/** A bucket's keys as they are and as they change, for as long as the signal lasts, whatever becomes of the connection. */
import type { KV, KvWatchEntry } from "@nats-io/kv";
import { pause } from "./persist.ts";

const PAUSE_MS = 1000;

/** @param onEntry sees every key's value once a watch begins, and again after a watch that broke off */
export async function watchKeys(
	kv: KV,
	key: string,
	signal: AbortSignal,
	onEntry: (entry: KvWatchEntry) => void,
): Promise<void> {
	while (!signal.aborted) {
		try {
			const entries = await kv.watch({ key });
			const stop = () => entries.stop();
			signal.addEventListener("abort", stop);
			if (signal.aborted) stop();
			for await (const entry of entries) onEntry(entry);
			signal.removeEventListener("abort", stop);
		} catch {
			// the broker is away: looked at again below
		}
		await pause(PAUSE_MS, signal);
	}
}
