/** Sequences that sit out until it is known what their next token may be, and the loop's wait for one of them. Knows no schedule. */
import type { Sequence } from "./sequence.ts";

export class MaskWait {
	readonly #pending = new Set<Sequence>();
	readonly #onFailed: (seq: Sequence, cause: unknown) => void;
	/** Ends a wait: there may be something else to do. */
	#stop = () => {};

	constructor(onFailed: (seq: Sequence, cause: unknown) => void) {
		this.#onFailed = onFailed;
	}

	/** How many sit out. */
	get size(): number {
		return this.#pending.size;
	}

	/** The sequence sits out while its mask is being worked out. */
	add(seq: Sequence): void {
		if (!seq.awaitsMask) return;
		this.#pending.add(seq);
		seq.constraint?.pending?.then(
			() => this.#pending.delete(seq),
			(cause) => {
				this.#pending.delete(seq);
				this.#onFailed(seq, cause);
			},
		);
	}

	delete(seq: Sequence): void {
		this.#pending.delete(seq);
	}

	/** Waits until some sequence's mask is there, or never will be (that fails its request), or `stop` is called. */
	async next(): Promise<void> {
		const stopped = new Promise<void>((resolve) => {
			this.#stop = resolve;
		});
		const pending = [...this.#pending].map((seq) => seq.constraint?.pending);
		const masks = pending.map((mask) => mask?.catch(() => {}));
		await Promise.race([stopped, ...masks]);
		await null; // all that settled with it
	}

	stop(): void {
		this.#stop();
	}
}
