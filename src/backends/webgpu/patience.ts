/**
 * When to ask for a step's results. In Node, Dawn looks for them in every turn of the event loop while anybody waits for them: a core
 * is busy and the heap fills with what each turn leaves, whose collection stalls the steps. So nobody asks before results are
 * nearly there: steps run in order, and one takes about as long as the last of as many tokens. Knows no device.
 */
export interface Patience {
	/**
	 * To be called when a step is submitted; `read` asks for its results and is called when they should nearly be there, after those of
	 * the steps before.
	 */
	read<T>(numTokens: number, read: () => Promise<T>): Promise<T>;
}

/** Asks at once: for hosts that are told. */
export const noPatience: Patience = { read: (_, read) => read() };

/** Share of the time expected that nobody asks in: room for timers that are late, and for steps that are quicker than the last. */
const SHARE = 0.75;
/** Timers are no more exact than this. */
const TIMER_MS = 1;

export function createPatience(
	now: () => number,
	sleep: (ms: number) => Promise<void>,
): Patience {
	/** By the logarithm of the number of tokens, rounded up. */
	const durations = new Map<number, number>();
	let before: Promise<unknown> = Promise.resolve();
	let doneMs = Number.NEGATIVE_INFINITY;
	return {
		read(numTokens, read) {
			const submittedMs = now();
			const regime = Math.ceil(Math.log2(Math.max(1, numTokens)));
			const output = before.then(async () => {
				const startMs = Math.max(submittedMs, doneMs);
				const expected = durations.get(regime) ?? 0;
				const ms = Math.floor(startMs + SHARE * expected - now());
				if (ms > TIMER_MS) await sleep(ms);
				const result = await read();
				doneMs = now();
				durations.set(regime, doneMs - startMs);
				return result;
			});
			before = output.catch(() => {});
			return output;
		},
	};
}

export const sleep = (ms: number): Promise<void> =>
	new Promise((resolve) => setTimeout(resolve, ms));
