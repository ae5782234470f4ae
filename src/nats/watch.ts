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
		// null: the broker is away, and is asked again below
		const entries = await kv.watch({ key }).catch(() => null);
		if (entries !== null)
			await whileOpen(entries, signal, async () => {
				for await (const entry of untilBroken(entries)) onEntry(entry);
			});
		await pause(PAUSE_MS, signal);
	}
}

/** What comes until it ends or the connection breaks off, which is an end too. What its reader throws is the reader's own. */
export async function* untilBroken<T>(
	source: AsyncIterable<T>,
): AsyncGenerator<T> {
	const iterator = source[Symbol.asyncIterator]();
	for (;;) {
		const next = await iterator.next().catch(() => null);
		if (next === null || next.done) return;
		yield next.value;
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
