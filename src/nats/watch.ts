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
			await whileOpen(entries, signal, async () => {
				for await (const entry of entries) onEntry(entry);
			});
		} catch {
			// the broker is away: looked at again below
		}
		await pause(PAUSE_MS, signal);
	}
}

/** Runs over something that the signal stops. */
export async function whileOpen(
	open: { stop(): void },
	signal: AbortSignal,
	run: () => Promise<void>,
): Promise<void> {
	const stop = () => open.stop();
	signal.addEventListener("abort", stop);
	if (signal.aborted) stop();
	try {
		await run();
	} finally {
		signal.removeEventListener("abort", stop);
	}
}
