/**
 * When requests are sent. Closed loop: so many at once, each followed by the next. Open loop: at a rate, whether answers have come or not,
 * with gaps of a Poisson process, so that a server that falls behind is seen to. Knows no HTTP.
 */
import { setTimeout as sleep } from "node:timers/promises";

export interface LoadShape {
	/** Requests a second; Infinity: as fast as maxConcurrency lets. */
	readonly requestRate: number;
	/** Requests that are out at once; Infinity: no bound. */
	readonly maxConcurrency: number;
	/** 0 to 1, evenly. */
	readonly random: () => number;
	readonly signal: AbortSignal;
}

/** Calls `send` for 0 … count-1, and waits for all. A request that waits for its turn is late, and so are those behind it. */
export async function generateLoad(
	count: number,
	{ requestRate, maxConcurrency, random, signal }: LoadShape,
	send: (index: number) => Promise<void>,
): Promise<void> {
	const running = new Set<Promise<void>>();
	let due = performance.now();
	for (let index = 0; index < count; index++) {
		if (requestRate !== Infinity) {
			due += (-Math.log(1 - random()) * 1000) / requestRate;
			const wait = due - performance.now();
			if (wait > 0) await sleep(wait, undefined, { signal });
		}
		while (running.size >= maxConcurrency) await Promise.race(running);
		signal.throwIfAborted();
		const sent: Promise<void> = send(index).finally(() => running.delete(sent));
		running.add(sent);
	}
	await Promise.all(running);
}

export interface Distribution {
	readonly mean: number;
	readonly p50: number;
	readonly p90: number;
	readonly p99: number;
	readonly max: number;
}

/** Percentiles by the nearest rank; null of nothing. */
export function distributionOf(values: readonly number[]): Distribution | null {
	if (values.length === 0) return null;
	const sorted = Float64Array.from(values).sort();
	const at = (percent: number) =>
		sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)];
	return {
		mean: sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
		p50: at(50),
		p90: at(90),
		p99: at(99),
		max: at(100),
	};
}
