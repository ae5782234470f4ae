/** Adapters in the control plane: whose turn it is, who lies in which slot, whose prefixes are whose. By example and by random schedules. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Adapter, AdapterSlots } from "../../src/engine/adapters.ts";
import type { Batch } from "../../src/engine/scheduler.ts";
import type { Sequence } from "../../src/engine/sequence.ts";
import { WaitingQueue } from "../../src/engine/waiting-queue.ts";
import { expectedOutput, LockStep } from "../support/lock-step.ts";
import { makeAdapter, makeSequence } from "../support/sequences.ts";

const [A, B, C] = [1, 2, 3].map(makeAdapter);

const lockStep = (maxLoras: number) =>
	new LockStep({
		numBlocks: 64,
		blockSize: 2,
		maxNumSeqs: 8,
		maxNumBatchedTokens: 32,
		enablePrefixCaching: true,
		enableChunkedPrefill: true,
		overlap: false,
		maxLoras,
	});

const seqOf = (
	arrival: number,
	adapter: Adapter | null,
	maxTokens = 3,
	priority = 0,
): Sequence =>
	makeSequence([1, 2, 3, 4, 5], { maxTokens }, { arrival, adapter, priority });

const arrivals = (batch: Batch | null) =>
	batch?.scheduled.map(({ seq }) => seq.arrival);

test("no more adapters run at once than there are slots; others that can run pass those that wait", () => {
	const steps = lockStep(1);
	for (const [i, adapter] of [A, B, A, null, C].entries())
		steps.scheduler.add(seqOf(i, adapter));
	assert.deepEqual(arrivals(steps.step()), [0, 2, 3]);
	steps.step();
	steps.step();
	assert.deepEqual(arrivals(steps.step()), [1], "B, when A is done");
	steps.step();
	steps.step();
	assert.deepEqual(arrivals(steps.step()), [4], "C, when B is done");
	steps.finishAll(5);
});

test("whoever comes after a sequence was set aside does not pass it", () => {
	const steps = lockStep(1);
	steps.scheduler.add(seqOf(0, A));
	steps.scheduler.add(seqOf(1, B));
	steps.step();
	for (const [i, adapter] of [A, null, B].entries())
		steps.scheduler.add(seqOf(2 + i, adapter));
	assert.deepEqual(arrivals(steps.step()), [0]);
	assert.deepEqual(arrivals(steps.step()), [0]);
	assert.deepEqual(arrivals(steps.step()), [1, 3, 4], "A waits for B in turn");
	steps.finishAll(10);
});

test("a steady stream for one adapter does not starve another", () => {
	const steps = lockStep(1);
	const other = seqOf(1, B);
	steps.scheduler.add(seqOf(0, A, 4));
	steps.scheduler.add(other);
	let arrival = 2;
	for (let step = 0; step < 12 && !other.isFinished; step++)
		steps.step(() => steps.scheduler.add(seqOf(arrival++, A, 4)));
	assert.ok(other.isFinished);
	steps.finishAll(100);
});

test("a more urgent request passes in its own right", () => {
	const slots = new AdapterSlots(1);
	const queue = new WaitingQueue(slots);
	const running = seqOf(0, A);
	slots.acquire(A);
	for (const [i, adapter] of [B, A].entries())
		queue.push(seqOf(1 + i, adapter, 3));
	assert.equal(queue.peek()?.arrival, 2);
	queue.pop();
	queue.push(seqOf(3, A, 3));
	assert.equal(queue.peek(), undefined, "it came after B was set aside");
	queue.push(seqOf(4, A, 3, -1));
	assert.equal(queue.peek()?.arrival, 4);
	queue.pop();
	slots.release(running.adapter);
	assert.equal(queue.peek()?.arrival, 1);
	queue.pop();
	assert.equal(queue.peek()?.arrival, 3);
	assert.equal([...queue].length, 1);
});

test("sequences that end while set aside are dropped", () => {
	const steps = lockStep(1);
	const [b, c] = [seqOf(1, B), seqOf(2, C)];
	for (const seq of [seqOf(0, A), b, c]) steps.scheduler.add(seq);
	steps.step();
	assert.equal(steps.scheduler.numWaiting, 2);
	steps.scheduler.finish(b, "abort");
	assert.equal(steps.scheduler.numWaiting, 1);
	steps.finishAll(20);
	assert.equal(c.status.kind, "finished");
});

test("slots are written once, kept while there is room, and the one unused longest goes first", () => {
	const slots = new AdapterSlots(2);
	const use = (adapter: Adapter) => {
		slots.acquire(adapter);
		const writes = slots.takeWrites().map(({ slot }) => slot);
		slots.release(adapter);
		return writes;
	};
	assert.deepEqual([use(A), use(B), use(A), use(B)], [[0], [1], [], []]);
	assert.deepEqual(use(C), [0], "A was unused longest");
	assert.deepEqual(use(B), []);
	assert.deepEqual(use(A), [0], "then C was");
	slots.acquire(A);
	slots.acquire(A);
	slots.release(A);
	slots.acquire(B);
	assert.equal(slots.hasRoom(C), false);
	assert.equal(slots.hasRoom(A), true);
	assert.throws(() => slots.acquire(C), /has room/);
	assert.throws(() => slots.forget(A), /not forgotten/);
	slots.checkIntegrity([{ adapter: A }, { adapter: null }, { adapter: B }]);
	assert.throws(
		() => slots.checkIntegrity([{ adapter: A }, { adapter: C }]),
		/counted|slot/,
	);
	slots.release(A);
	slots.forget(A);
	assert.deepEqual(use(C), [0], "a slot given up is the first taken");
	slots.release(B);
	slots.checkIntegrity([]);
});

test("an adapter that gives up its slot before it was written is not written", () => {
	const slots = new AdapterSlots(1);
	slots.acquire(A);
	slots.release(A);
	slots.forget(A);
	assert.deepEqual(slots.takeWrites(), []);
	slots.acquire(A);
	slots.release(A);
	slots.acquire(B);
	assert.deepEqual(slots.takeWrites(), [{ slot: 0, adapter: B }]);
});

test("equal prompts of different adapters share no block, those of one do", () => {
	const steps = lockStep(3);
	const seqs: Sequence[] = [];
	for (const adapter of [null, A, B, null, A, B]) {
		const seq = seqOf(seqs.length, adapter);
		seqs.push(seq);
		steps.scheduler.add(seq);
		steps.finishAll(10);
	}
	assert.deepEqual(
		seqs.map((seq) => seq.numCachedTokens),
		[0, 0, 0, 4, 4, 4],
	);
});

const arrival = fc.record({
	prompt: fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 16 }),
	maxTokens: fc.integer({ min: 1, max: 10 }),
	adapter: fc.constantFrom(null, A, B, C, makeAdapter(4)),
	n: fc.constantFrom(1, 1, 1, 2),
	priority: fc.constantFrom(0, 0, 0, 1, -1),
	at: fc.nat({ max: 30 }),
	abortAfter: fc.option(fc.nat({ max: 12 }), { freq: 5 }),
});
const scenario = fc.record({
	arrivals: fc.array(arrival, { minLength: 1, maxLength: 20 }),
	numBlocks: fc.integer({ min: 7, max: 24 }),
	blockSize: fc.constantFrom(2, 3, 4),
	maxNumSeqs: fc.integer({ min: 1, max: 6 }),
	maxNumBatchedTokens: fc.integer({ min: 6, max: 30 }),
	maxLoras: fc.integer({ min: 1, max: 3 }),
	overlap: fc.boolean(),
});

test("random schedules: every token right, whoever shares slots, prefixes and steps; nobody starves", () => {
	let numPreemptions = 0;
	let numHits = 0;
	fc.assert(
		fc.property(scenario, (s) => {
			const numBlocks = Math.max(s.numBlocks, Math.ceil(26 / s.blockSize));
			const steps = new LockStep({
				...s,
				numBlocks,
				enablePrefixCaching: true,
				enableChunkedPrefill: true,
			});
			const events: (() => void)[][] = Array.from({ length: 64 }, () => []);
			const all: Sequence[] = [];
			for (const { prompt, n, adapter, priority, ...rest } of s.arrivals) {
				let sibling: Sequence | null = null;
				for (let index = 0; index < n; index++) {
					const seq: Sequence = makeSequence(
						prompt,
						{ maxTokens: rest.maxTokens },
						{ arrival: all.length, index, priority, sibling, adapter },
					);
					sibling ??= seq;
					all.push(seq);
					const at = rest.at + index;
					events[at].push(() => steps.scheduler.add(seq));
					if (rest.abortAfter !== null)
						events[at + rest.abortAfter].push(() =>
							steps.scheduler.finish(seq, "abort"),
						);
				}
			}
			for (const happens of events)
				steps.step(() => {
					for (const event of happens) event();
				});
			steps.finishAll(40 * all.length + 500);
			assert.equal(steps.blocks.numFreeBlocks, numBlocks);
			for (const seq of all) {
				const known = Array.from(seq.tokenIds.subarray(0, seq.numTokens));
				const prompt = known.slice(0, seq.numPromptTokens);
				const got = known.slice(seq.numPromptTokens);
				const { maxTokens } = seq.params;
				const wanted = expectedOutput(prompt, maxTokens ?? 0, [], seq.adapter);
				const { status } = seq;
				assert.equal(status.kind, "finished");
				const aborted = status.kind === "finished" && status.reason === "abort";
				const length = aborted ? got.length : wanted.length;
				assert.deepEqual(got, wanted.slice(0, length));
			}
			numPreemptions += steps.scheduler.numPreemptions;
			numHits += steps.scheduler.numPrefixHitTokens;
		}),
		{ numRuns: 500, seed: 5 },
	);
	assert.ok(numPreemptions > 50, `schedules preempt (${numPreemptions})`);
	assert.ok(numHits > 100, `schedules hit the prefix cache (${numHits})`);
});
