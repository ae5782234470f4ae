/** Does something at most so often: at once where it was not done lately, else as soon as it may be done again. */

export interface Throttled {
	call(): void;
	/** What is due is not done any more. */
	cancel(): void;
}

export function throttle(work: () => void, intervalMs: number): Throttled {
	let timer: ReturnType<typeof setTimeout> | null = null;
	let lastMs = Number.NEGATIVE_INFINITY;
	const run = () => {
		timer = null;
		lastMs = performance.now();
		work();
	};
	return {
		call() {
			const sinceMs = performance.now() - lastMs;
			timer ??= setTimeout(run, Math.max(0, intervalMs - sinceMs));
		},
		cancel() {
			if (timer !== null) clearTimeout(timer);
			timer = null;
		},
	};
}
