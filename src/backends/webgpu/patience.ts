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

/** Shares of the time expected: asleep until the first, awake until the second, for steps that are quicker than the last. */
const ASLEEP = 0.75;
const AWAKE = 0.9;
/** Shorter sleeps are not worth a timer. */
const LEAST_MS = 1;
/** How much of what is known of late timers stays known from step to step. */
const MEMORY = 0.95;

/** The quickest of so many steps is believed: one that was held up would keep those after it waiting, which would look as slow. */
const KEPT = 4;

/** @param turn lets the event loop turn once, and leaves next to nothing behind */
export function createPatience(
	now: () => number,
	sleep: (ms: number) => Promise<void>,
	turn: () => Promise<void>,
): Patience {
	/** By the logarithm of the number of tokens, rounded up. */
	const durations = new Map<number, readonly number[]>();
	let before: Promise<unknown> = Promise.resolve();
	let doneMs = Number.NEGATIVE_INFINITY;
	/** What timers have been late by: some machines wake up milliseconds after the time asked for. */
	let lateMs = 0;
	const wait = async (startMs: number, expected: number): Promise<void> => {
		const wake = startMs + ASLEEP * expected;
		const ms = Math.floor(wake - lateMs - now());
		lateMs *= MEMORY;
		if (ms > LEAST_MS) {
			const asked = now() + ms;
			await sleep(ms);
			lateMs = Math.max(lateMs, now() - asked);
		}
		while (now() < startMs + AWAKE * expected) await turn();
	};
	return {
		read(numTokens, read) {
			const submittedMs = now();
			const regime = Math.ceil(Math.log2(Math.max(1, numTokens)));
			const output = before.then(async () => {
				const startMs = Math.max(submittedMs, doneMs);
				const last = durations.get(regime) ?? [];
				await wait(startMs, last.length > 0 ? Math.min(...last) : 0);
				const result = await read();
				doneMs = now();
				durations.set(regime, [doneMs - startMs, ...last.slice(0, KEPT - 1)]);
				return result;
			});
			before = output.catch(() => {});
			return output;
		},
	};
}

export const sleep = (ms: number): Promise<void> =>
	new Promise((resolve) => setTimeout(resolve, ms));
