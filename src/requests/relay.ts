/** What one side says as it happens and the other reads in its own time: the deltas of a stream. */

export interface Relay<T> {
	push(value: T): void;
	/**
	 * Everything that is pushed, in order, until `done` is settled and nothing is left; returns what it resolves with.
	 * @throws what it rejects with; signal.reason when aborted
	 */
	read<R>(
		done: Promise<R>,
		signal: AbortSignal | undefined,
	): AsyncGenerator<T, R, void>;
}

export function createRelay<T>(): Relay<T> {
	const values: T[] = [];
	let wake = () => {};
	return {
		push(value) {
			values.push(value);
			wake();
		},
		async *read(done, signal) {
			let settled = false;
			const end = () => {
				settled = true;
				wake();
			};
			done.then(end, end);
			for (let at = 0; ; ) {
				signal?.throwIfAborted();
				if (at < values.length) {
					yield values[at++];
					if (at === values.length) values.length = at = 0;
				} else if (settled) return await done;
				else
					await new Promise<void>((resolve) => {
						wake = resolve;
					});
			}
		},
	};
}
