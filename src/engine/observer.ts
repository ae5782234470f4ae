/**
 * Tells listeners what the engine does, in the words of events.ts. An engine has one while somebody listens and none otherwise, so that
 * all it costs then is the question whether there is one.
 *
 * What is told is worked out at the moment it happens, and handed out in that order. A step's event waits for the device to have the
 * step, a step's results for all of its rows; what happens meanwhile waits behind them.
 */
import type { BlockChanges } from "./block-manager.ts";
import {
	type BlockState,
	type EngineEvent,
	type EngineListener,
	MAX_TOLD_WAITING,
	type StepEvent,
} from "./events.ts";
import type { Batch } from "./scheduler.ts";
import type { Sequence } from "./sequence.ts";
import {
	engineCounters,
	type Observed,
	sequenceInfo,
	takeSnapshot,
} from "./snapshot.ts";

export class Observer {
	readonly #observed: Observed;
	readonly #onDeserted: () => void;
	readonly #listeners = new Set<EngineListener>();
	/** Those who hear a snapshot as soon as nothing older is left to tell. */
	readonly #joining = new Set<EngineListener>();
	/** Worked out, not handed out yet. */
	readonly #queue: EngineEvent[] = [];
	/** Why the queue stands: its first event is not complete. */
	#isHeld = false;
	/** Everything is to be told anew when the queue moves on. */
	#isStale = false;
	#isDelivering = false;
	readonly #changes: BlockChanges = { blocks: new Set(), evicted: [] };
	/** Sequences told of, and how many of their blocks. */
	readonly #told = new Map<Sequence, number>();
	/** Those told to run. */
	readonly #running = new Set<Sequence>();
	#startMs = 0;
	#tokens: { arrival: number; tokenId: number }[] = [];

	/** @param onDeserted nobody listens any more */
	constructor(observed: Observed, onDeserted: () => void) {
		this.#observed = observed;
		this.#onDeserted = onDeserted;
		observed.blocks.watch(this.#changes);
	}

	/** @returns a function that ends it */
	add(listener: EngineListener): () => void {
		// One function may listen twice: each time it is another listener.
		const own: EngineListener = (event) => listener(event);
		this.#joining.add(own);
		this.#flush();
		return () => this.#remove(own);
	}

	/** A sequence was queued. */
	arrived(seq: Sequence): void {
		const { numWaiting } = this.#observed.scheduler;
		if (numWaiting <= MAX_TOLD_WAITING) this.#tellArrival(seq);
	}

	/** The scheduler begins. */
	scheduling(): void {
		this.#startMs = this.#observed.now();
	}

	/** Nothing can run now; somebody may have lost blocks all the same. */
	scheduledNothing(): void {
		const isWaiting = ({ status }: Sequence) => status.kind === "waiting";
		if ([...this.#running].some(isWaiting)) this.refresh();
	}

	/** A step is about to be handed to the device. */
	scheduled(batch: Batch): void {
		const { scheduler } = this.#observed;
		const waiting = scheduler.nextWaiting(MAX_TOLD_WAITING);
		const running = scheduler.running();
		for (const seq of running) this.#tellArrival(seq);
		for (const seq of waiting) this.#tellArrival(seq);
		const event = this.#stepEvent(batch, waiting, running);
		this.#running.clear();
		for (const seq of running) this.#running.add(seq);
		this.#isHeld = true;
		this.#queue.push(event);
	}

	/** The device has the step, or never will. */
	submitted(): void {
		const [event] = this.#queue;
		if (this.#isHeld && event.type === "step")
			this.#queue[0] = { ...event, submitMs: this.#observed.now() };
		this.#release();
	}

	/** A step's results are being read. */
	accepting(step: number): void {
		this.#isHeld = true;
		this.#tokens = [];
		const tokens = this.#tokens;
		const atMs = this.#observed.now();
		this.#queue.push({ type: "output", step, atMs, tokens });
	}

	token({ arrival }: Sequence, tokenId: number): void {
		this.#tokens.push({ arrival, tokenId });
	}

	accepted(): void {
		this.#release();
	}

	/** A sequence is over. */
	ended(seq: Sequence): void {
		this.#running.delete(seq);
		const wasTold = this.#told.delete(seq);
		const { kind } = seq.status;
		if (!wasTold) return;
		this.#send({
			type: "end",
			atMs: this.#observed.now(),
			arrival: seq.arrival,
			reason: kind === "finished" ? seq.status.reason : "error",
			numWaiting: this.#observed.scheduler.numWaiting,
			blocks: this.#takeBlocks(),
		});
	}

	paused(paused: boolean): void {
		this.#send({ type: "pause", atMs: this.#observed.now(), paused });
	}

	/** Much changed outside of steps: everything is told anew. */
	refresh(): void {
		this.#isStale = this.#isHeld;
		if (this.#isStale) return;
		const snapshot = takeSnapshot(this.#observed);
		this.#noteAll();
		this.#send(snapshot);
	}

	#remove(listener: EngineListener): void {
		this.#joining.delete(listener);
		this.#listeners.delete(listener);
		if (this.#listeners.size + this.#joining.size > 0) return;
		this.#observed.blocks.watch(null);
		this.#onDeserted();
	}

	#tellArrival(seq: Sequence): void {
		if (this.#told.has(seq)) return;
		this.#told.set(seq, 0);
		this.#send({
			type: "arrival",
			atMs: this.#observed.now(),
			sequence: sequenceInfo(seq, this.#observed),
			numWaiting: this.#observed.scheduler.numWaiting,
		});
	}

	#stepEvent(
		{ scheduled, numDecodes, numTokens }: Batch,
		waiting: readonly Sequence[],
		running: readonly Sequence[],
	): StepEvent {
		const { scheduler, progress } = this.#observed;
		const preempted = [...this.#running].filter(
			({ status }) => status.kind === "waiting",
		);
		const admitted = scheduled.filter(({ seq }) => !this.#running.has(seq));
		const changed = [...preempted, ...scheduled.map(({ seq }) => seq)];
		const { evicted } = this.#changes;
		this.#changes.evicted = [];
		return {
			type: "step",
			step: progress().numSteps,
			startMs: this.#startMs,
			submitMs: this.#startMs,
			rows: scheduled.map(({ seq, start, numTokens, samples }, i) => {
				const phase = i < numDecodes ? "decode" : "prefill";
				return { arrival: seq.arrival, phase, start, numTokens, samples };
			}),
			numTokens,
			admitted: admitted.map(({ seq, start }) => ({
				arrival: seq.arrival,
				numCachedTokens: start,
			})),
			preempted: preempted.map(({ arrival }) => arrival),
			waiting: waiting.map(({ arrival }) => arrival),
			numWaiting: scheduler.numWaiting,
			running: running.map(({ arrival }) => arrival),
			blocks: this.#takeBlocks(),
			evicted,
			tables: changed.flatMap((seq) => this.#takeTable(seq) ?? []),
			counters: engineCounters(this.#observed),
		};
	}

	/** How the table differs from what was told; null: it does not. A table grows at its end, and is emptied as a whole. */
	#takeTable(seq: Sequence): StepEvent["tables"][number] | null {
		const told = this.#told.get(seq) ?? 0;
		if (told === seq.numBlocks) return null;
		const kept = Math.min(told, seq.numBlocks);
		this.#told.set(seq, seq.numBlocks);
		const added = Array.from(seq.blockTable.subarray(kept, seq.numBlocks));
		return { arrival: seq.arrival, kept, added };
	}

	#takeBlocks(): BlockState[] {
		const { blocks } = this.#changes;
		const states = Array.from(blocks, (it) =>
			this.#observed.blocks.stateOf(it),
		);
		blocks.clear();
		return states;
	}

	/** What a snapshot of now tells is told. */
	#noteAll(): void {
		const { scheduler } = this.#observed;
		const running = scheduler.running();
		this.#told.clear();
		this.#running.clear();
		for (const seq of running) this.#running.add(seq);
		for (const seq of [...running, ...scheduler.nextWaiting(MAX_TOLD_WAITING)])
			this.#told.set(seq, seq.numBlocks);
		this.#changes.blocks.clear();
		this.#changes.evicted = [];
	}

	#send(event: EngineEvent): void {
		this.#queue.push(event);
		this.#flush();
	}

	#release(): void {
		this.#isHeld = false;
		if (this.#isStale) this.refresh();
		else this.#flush();
	}

	/** Hands out what is due, then welcomes who came meanwhile. What a listener does to the engine is told after what it was told. */
	#flush(): void {
		if (this.#isHeld || this.#isDelivering) return;
		this.#isDelivering = true;
		for (;;) {
			const event = this.#queue.shift();
			if (event !== undefined)
				for (const listener of [...this.#listeners])
					this.#tell(listener, event);
			else if (this.#joining.size > 0) this.#welcome();
			else break;
		}
		this.#isDelivering = false;
	}

	#welcome(): void {
		const snapshot = takeSnapshot(this.#observed);
		this.#noteAll();
		const joining = [...this.#joining];
		for (const listener of joining) this.#listeners.add(listener);
		this.#joining.clear();
		for (const listener of joining) this.#tell(listener, snapshot);
	}

	/** A listener that throws has heard its last. */
	#tell(listener: EngineListener, event: EngineEvent): void {
		if (!this.#listeners.has(listener)) return;
		try {
			listener(event);
		} catch {
			// Its owner's mistake, in its owner's code: the engine goes on without it.
			this.#remove(listener);
		}
	}
}
