/**
 * Answers on their way to the disk, in groups: what comes in while one group is made durable is the next. The output is written before the
 * errors file, which can be made from it again. Knows no files.
 */

/** A file that only grows. */
export interface Sink {
	/** Resolves once the text would survive the machine. @throws output_failed; then the text may be there in part */
	append(text: string): Promise<void>;
}

export interface Entry {
	/** Lines with their line feeds; null: none for this file. */
	readonly output: string | null;
	readonly error: string | null;
	/** It would survive the machine. */
	readonly onWritten?: () => void;
}

export interface JournalOptions {
	readonly output: Sink;
	readonly errors: Sink;
	readonly sleep: (ms: number) => Promise<void>;
	/** Something was written, so there is room. */
	readonly onWritten: () => void;
	readonly onFailed: (error: unknown) => void;
}

/** Time for a group to gather: what a crash costs at most, besides the group being written. */
const GATHER_MS = 100;
/** Characters that may wait; beyond, nothing new is started. */
const MAX_WAITING = 8 * 2 ** 20;

export class Journal {
	readonly #options: JournalOptions;
	#output: string[] = [];
	#errors: string[] = [];
	#onWritten: (() => void)[] = [];
	#numWaiting = 0;
	#writing: Promise<void> | null = null;
	#hurry = () => {};
	#isClosing = false;
	#hasFailed = false;

	constructor(options: JournalOptions) {
		this.#options = options;
	}

	get isFull(): boolean {
		return this.#numWaiting >= MAX_WAITING;
	}

	add({ output, error, onWritten }: Entry): void {
		if (this.#hasFailed) return;
		if (onWritten !== undefined) this.#onWritten.push(onWritten);
		if (output !== null) this.#output.push(output);
		if (error !== null) this.#errors.push(error);
		this.#numWaiting += (output?.length ?? 0) + (error?.length ?? 0);
		this.#writing ??= this.#write();
		if (this.isFull) this.#hurry();
	}

	/** Writes what waits. Never rejects: onFailed tells. */
	async close(): Promise<void> {
		this.#isClosing = true;
		this.#hurry();
		await this.#writing;
	}

	async #write(): Promise<void> {
		const { onFailed, onWritten } = this.#options;
		try {
			while (this.#numWaiting > 0) {
				await this.#gather();
				await this.#writeGroup();
				onWritten();
			}
		} catch (error) {
			this.#hasFailed = true;
			onFailed(error);
		} finally {
			this.#writing = null;
		}
	}

	async #gather(): Promise<void> {
		if (this.#isClosing || this.isFull) return;
		const hurried = new Promise<void>((resolve) => {
			this.#hurry = resolve;
		});
		await Promise.race([hurried, this.#options.sleep(GATHER_MS)]);
	}

	async #writeGroup(): Promise<void> {
		const output = this.#output.join("");
		const errors = this.#errors.join("");
		const onWritten = this.#onWritten;
		this.#onWritten = [];
		this.#output = [];
		this.#errors = [];
		this.#numWaiting = 0;
		if (output !== "") await this.#options.output.append(output);
		if (errors !== "") await this.#options.errors.append(errors);
		for (const tell of onWritten) tell();
	}
}
