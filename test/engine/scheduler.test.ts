/** The scheduler, by example and by random schedules over a model of integers: no device, no text. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Batch } from "../../src/engine/scheduler.ts";
import type { Sequence } from "../../src/engine/sequence.ts";
import {
	expectedOutput,
	LockStep,
	type LockStepOptions,
	VOCAB_SIZE,
} from "../support/lock-step.ts";
import { makeSequence } from "../support/sequences.ts";

const lockStep = (options: Partial<LockStepOptions> = {}) =>
	new LockStep({
		numBlocks: 64,
		blockSize: 4,
		maxNumSeqs: 8,
		maxNumBatchedTokens: 16,
		enablePrefixCaching: false,
		enableChunkedPrefill: true,
		overlap: false,
		...options,
	});

let numArrivals = 0;
/** A prompt of its own tokens, so that no other begins like it. */
const seqOf = (
	length: number,
	maxTokens = 4,
	options: Parameters<typeof makeSequence>[2] = {},
): Sequence => {
	const arrival = numArrivals++;
	const prompt = Array.from({ length }, (_, i) => (arrival * 7 + i) % 13);
	return makeSequence(prompt, { maxTokens }, { arrival, ...options });
};
const shape = (batch: Batch | null, ...seqs: Sequence[]) =>
	batch?.scheduled.map((s) => [seqs.indexOf(s.seq), s.start, s.numTokens]);
const output = (seq: Sequence) =>
	Array.from(seq.tokenIds.subarray(seq.numPromptTokens, seq.numTokens));

test("decodes come first, prefill chunks share the rest of the budget", () => {
	const steps = lockStep({ maxNumBatchedTokens: 10 });
	const [a, b, c] = [seqOf(3), seqOf(12), seqOf(9)];
	for (const seq of [a, b, c]) steps.scheduler.add(seq);
	const seen = Array.from({ length: 4 }, () => shape(steps.step(), a, b, c));
	assert.deepEqual(seen, [
		[
			[0, 0, 3],
			[1, 0, 7],
		],
		[
			[0, 3, 1],
			[1, 7, 5],
			[2, 0, 4],
		],
		[
			[0, 4, 1],
			[1, 12, 1],
			[2, 4, 5],
		],
		[
			[0, 5, 1],
			[1, 13, 1],
			[2, 9, 1],
		],
	]);
	steps.finishAll(10);
	for (const seq of [a, b, c])
		assert.deepEqual(
			output(seq),
			expectedOutput([...seq.tokenIds.subarray(0, seq.numPromptTokens)], 4),
		);
});

test("without chunked prefill prompts are computed whole, and one that must wait holds back those behind it", () => {
	const steps = lockStep({
		maxNumBatchedTokens: 10,
		enableChunkedPrefill: false,
	});
	const [a, b, c] = [seqOf(6), seqOf(8), seqOf(2)];
	for (const seq of [a, b, c]) steps.scheduler.add(seq);
	assert.deepEqual(shape(steps.step(), a, b, c), [[0, 0, 6]]);
	assert.deepEqual(shape(steps.step(), a, b, c), [
		[0, 6, 1],
		[1, 0, 8],
	]);
	assert.deepEqual(shape(steps.step(), a, b, c), [
		[0, 7, 1],
		[1, 8, 1],
		[2, 0, 2],
	]);
});

test("the order is that of arrival, or of priority first", () => {
	const order = (priorities: number[]) => {
		const steps = lockStep({ maxNumSeqs: 1 });
		const seqs = priorities.map((priority) => seqOf(2, 1, { priority }));
		for (const seq of seqs) steps.scheduler.add(seq);
		return seqs.map(() => shape(steps.step(), ...seqs)?.[0][0]);
	};
	assert.deepEqual(order([0, 0, 0, 0]), [0, 1, 2, 3]);
	assert.deepEqual(order([2, 0, 1, 0, -1]), [4, 1, 3, 2, 0]);
});

test("a late arrival of higher priority runs before those who wait, and its decodes before theirs", () => {
	const steps = lockStep({ maxNumSeqs: 2, maxNumBatchedTokens: 4 });
	const [a, b, late] = [
		seqOf(2, 2),
		seqOf(2, 9),
		seqOf(2, 4, { priority: -1 }),
	];
	steps.scheduler.add(a);
	steps.scheduler.add(b);
	steps.step();
	steps.scheduler.add(late);
	steps.step();
	assert.deepEqual(shape(steps.step(), a, b, late), [
		[1, 3, 1],
		[2, 0, 2],
	]);
	assert.deepEqual(shape(steps.step(), a, b, late), [
		[2, 2, 1],
		[1, 4, 1],
	]);
});

test("no more than maxNumSeqs run", () => {
	const steps = lockStep({ maxNumSeqs: 3 });
	const seqs = Array.from({ length: 7 }, () => seqOf(2, 3));
	for (const seq of seqs) steps.scheduler.add(seq);
	const running: number[] = [];
	for (let i = 0; i < 9; i++) {
		const batch = steps.step();
		running.push(batch?.scheduled.length ?? 0);
	}
	assert.deepEqual(running, [3, 3, 3, 3, 3, 3, 1, 1, 1]);
});

test("when blocks run out the last in order is preempted, waits at its place, and is computed again", () => {
	const steps = lockStep({ numBlocks: 6, blockSize: 2, maxNumSeqs: 3 });
	const [a, b, c, d] = [seqOf(4, 5), seqOf(4, 5), seqOf(4, 5), seqOf(2, 5)];
	for (const seq of [a, b, c, d]) steps.scheduler.add(seq);
	steps.step();
	assert.equal(steps.blocks.numFreeBlocks, 0);
	assert.deepEqual(shape(steps.step(), a, b, c, d), [
		[0, 4, 1],
		[1, 4, 1],
	]);
	assert.equal(c.status.kind, "waiting");
	assert.equal(c.numPreemptions, 1);
	assert.equal(c.numBlocks, 0);
	assert.equal(steps.scheduler.numWaiting, 2);
	const first: Sequence[] = [];
	while (first.length < 2)
		for (const { seq, start } of steps.step()?.scheduled ?? [])
			if (start === 0 && seq !== b) first.push(seq);
	assert.deepEqual(first, [c, d], "the preempted one goes before the newcomer");
	steps.finishAll(50);
	assert.equal(
		steps.scheduler.numPreemptions,
		a.numPreemptions + b.numPreemptions + c.numPreemptions + d.numPreemptions,
	);
	for (const seq of [a, b, c, d])
		assert.deepEqual(
			output(seq),
			expectedOutput([...seq.tokenIds.subarray(0, seq.numPromptTokens)], 5),
		);
});

test("the one preempted is the last by priority, however early it came", () => {
	const steps = lockStep({ numBlocks: 5, blockSize: 2 });
	const [low, high] = [seqOf(4, 5, { priority: 1 }), seqOf(4, 5)];
	steps.scheduler.add(low);
	steps.step();
	steps.scheduler.add(high);
	for (let i = 0; i < 3; i++) steps.step();
	assert.equal(low.numPreemptions, 1);
	assert.equal(high.numPreemptions, 0);
});

test("a step that preempts admits nobody", () => {
	const steps = lockStep({ numBlocks: 5, blockSize: 2, maxNumSeqs: 8 });
	const [a, b, c] = [seqOf(4, 6), seqOf(6, 6), seqOf(1, 1)];
	steps.scheduler.add(a);
	steps.scheduler.add(b);
	steps.step();
	steps.scheduler.add(c);
	const batch = steps.step();
	assert.equal(b.numPreemptions, 1);
	assert.deepEqual(shape(batch, a, b, c), [[0, 4, 1]]);
});

test("aborted while waiting or running: gone at once, blocks free, counts right", () => {
	const steps = lockStep({ maxNumSeqs: 2 });
	const [a, b, c, d] = [seqOf(5, 9), seqOf(5, 9), seqOf(5, 3), seqOf(5, 3)];
	for (const seq of [a, b, c, d]) steps.scheduler.add(seq);
	steps.step();
	assert.equal(steps.scheduler.numRunning, 2);
	assert.equal(steps.scheduler.numWaiting, 2);
	steps.scheduler.finish(c, "abort");
	steps.scheduler.finish(a, "abort");
	steps.scheduler.finish(a, "abort");
	steps.scheduler.checkIntegrity();
	assert.equal(steps.scheduler.numRunning, 1);
	assert.equal(steps.scheduler.numWaiting, 1);
	assert.equal(a.numBlocks, 0);
	assert.deepEqual(shape(steps.step(), a, b, c, d), [
		[1, 5, 1],
		[3, 0, 5],
	]);
	steps.finishAll(20);
	assert.equal(steps.blocks.numFreeBlocks, 64);
	assert.deepEqual(output(c), []);
	assert.equal(output(b).length, 9);
});

test("overlapped: a sequence goes on before its token is read, but not behind its last", () => {
	const steps = lockStep({ overlap: true });
	const a = seqOf(3, 3);
	steps.scheduler.add(a);
	const seen = Array.from({ length: 5 }, () => [
		shape(steps.step(), a),
		output(a).length,
	]);
	assert.deepEqual(seen, [
		[[[0, 0, 3]], 0],
		[[[0, 3, 1]], 1],
		[[[0, 4, 1]], 2],
		[undefined, 3],
		[undefined, 3],
	]);
	assert.ok(a.isFinished);
});

test("overlapped: a sequence that stops has one step too many, which is dropped", () => {
	const prompt = [1, 2, 3];
	const [, second] = expectedOutput(prompt, 2);
	const steps = lockStep({ overlap: true });
	const a = makeSequence(prompt, { maxTokens: 9 }, { eosTokenIds: [second] });
	steps.scheduler.add(a);
	steps.finishAll(10);
	assert.deepEqual(output(a), expectedOutput(prompt, 9, [second]));
	assert.equal(steps.numSteps, output(a).length + 1);
});

test("overlapped: bad words of several tokens wait for their token, single ones do not", () => {
	const stepsFor = (badWordIds: number[][]) => {
		const steps = lockStep({ overlap: true });
		const a = seqOf(3, 5, { badWordIds });
		steps.scheduler.add(a);
		let turns = 0;
		while (!a.isFinished) {
			const before = a.pendingRow;
			const batch = steps.step();
			if (badWordIds.some((ids) => ids.length > 1))
				assert.ok(before === null || batch === null);
			turns++;
		}
		return turns;
	};
	assert.equal(stepsFor([]), 6);
	assert.equal(stepsFor([[3], [4]]), 6);
	assert.equal(stepsFor([[3], [4, 5]]), 10);
});

test("overlapped: preempted with a token in flight, it waits for that token and loses nothing", () => {
	const steps = lockStep({
		overlap: true,
		numBlocks: 4,
		blockSize: 2,
		maxNumSeqs: 2,
	});
	const [a, b] = [seqOf(3, 5), seqOf(3, 5)];
	steps.scheduler.add(a);
	steps.scheduler.add(b);
	let sawPending = false;
	for (let i = 0; i < 30 && !(a.isFinished && b.isFinished); i++)
		steps.step(() => {
			if (b.status.kind === "waiting" && b.pendingRow !== null)
				sawPending = true;
		});
	assert.ok(sawPending, "the case occurs");
	for (const seq of [a, b])
		assert.deepEqual(
			output(seq),
			expectedOutput([...seq.tokenIds.subarray(0, seq.numPromptTokens)], 5),
		);
});

test("n outputs share the prompt's blocks while the first is there", () => {
	const steps = lockStep({ blockSize: 4 });
	const first = seqOf(9, 3);
	const arrival = numArrivals++;
	const prompt = [...first.tokenIds.subarray(0, 9)];
	const second = makeSequence(
		prompt,
		{ maxTokens: 3 },
		{ arrival, index: 1, sibling: first },
	);
	steps.scheduler.add(first);
	steps.step();
	steps.scheduler.add(second);
	assert.deepEqual(shape(steps.step(), first, second), [
		[0, 9, 1],
		[1, 8, 1],
	]);
	assert.deepEqual(second.blockTable.slice(0, 2), first.blockTable.slice(0, 2));
	steps.finishAll(10);
	assert.deepEqual(output(second), output(first));
});

test("a prompt that is computed in this very step is not shared yet", () => {
	const steps = lockStep();
	const first = seqOf(9, 3);
	const prompt = [...first.tokenIds.subarray(0, 9)];
	const second = makeSequence(
		prompt,
		{ maxTokens: 3 },
		{ arrival: numArrivals++, index: 1, sibling: first },
	);
	steps.scheduler.add(first);
	steps.scheduler.add(second);
	assert.deepEqual(shape(steps.step(), first, second), [
		[0, 0, 9],
		[1, 0, 7],
	]);
	steps.finishAll(10);
	assert.deepEqual(output(second), output(first));
});

test("a long prompt finishes though short requests keep coming", () => {
	for (const overlap of [false, true])
		for (const enablePrefixCaching of [false, true]) {
			const steps = lockStep({
				numBlocks: 24,
				blockSize: 2,
				maxNumBatchedTokens: 8,
				overlap,
				enablePrefixCaching,
			});
			for (let i = 0; i < 6; i++) steps.scheduler.add(seqOf(2, 8));
			steps.step();
			const long = seqOf(38, 4);
			steps.scheduler.add(long);
			let turns = 0;
			while (!long.isFinished) {
				while (steps.scheduler.numWaiting < 4)
					steps.scheduler.add(seqOf(1 + (turns % 3), 8));
				steps.step();
				assert.ok(++turns < 200, "the long one starves");
			}
		}
});

test("100,000 waiting requests cost a step nothing", () => {
	const stepTime = (numWaiting: number) => {
		const steps = lockStep({ numBlocks: 400, maxNumBatchedTokens: 64 });
		for (let i = 0; i < numWaiting; i++) steps.scheduler.add(seqOf(4, 6));
		let best = Infinity;
		for (let trial = 0; trial < 5; trial++) {
			const start = performance.now();
			// Not LockStep.step: its own checks look at everyone who waits.
			for (let i = 0; i < 40; i++) {
				const batch = steps.scheduler.schedule();
				for (const { seq, samples } of batch?.scheduled ?? []) {
					if (!samples) continue;
					seq.appendToken(i % VOCAB_SIZE);
					if (seq.numOutputTokens >= 6) steps.scheduler.finish(seq, "length");
				}
			}
			best = Math.min(best, performance.now() - start);
		}
		return best / 40;
	};
	stepTime(1000);
	const few = stepTime(1000);
	const many = stepTime(100_000);
	assert.ok(
		many < 30 * few + 0.5,
		`a step takes ${many} ms with 100,000 waiting, ${few} ms with 1,000`,
	);
});

test("checkIntegrity bites", () => {
	const set = () => {
		const steps = lockStep();
		const seqs = [seqOf(5, 9), seqOf(5, 9)];
		for (const seq of seqs) steps.scheduler.add(seq);
		steps.step();
		steps.step();
		return { steps, seqs };
	};
	const broken = (corrupt: (seq: Sequence) => void, law: RegExp) => {
		const { steps, seqs } = set();
		steps.scheduler.checkIntegrity();
		corrupt(seqs[1]);
		assert.throws(() => steps.scheduler.checkIntegrity(), law);
	};
	broken((seq) => {
		seq.status = { kind: "finished", reason: "abort", stopReason: null };
	}, /running sequences are counted/);
	broken((seq) => {
		seq.numComputedTokens = 99;
	}, /computed tokens have blocks/);
	broken((seq) => {
		seq.blockTable[0] = (seq.blockTable[0] + 9) % 64;
	}, /references add up/);
	const { steps } = set();
	const waiting = seqOf(3);
	steps.scheduler.add(waiting);
	steps.scheduler.checkIntegrity();
	waiting.appendBlock(0);
	assert.throws(() => steps.scheduler.checkIntegrity(), /hold no blocks/);
});

interface Arrival {
	readonly prompt: number[];
	readonly maxTokens: number;
	readonly eos: boolean;
	readonly n: number;
	readonly scores: boolean;
	readonly priority: number;
	readonly badWords: boolean;
	/** Step at which it comes. */
	readonly at: number;
	/** Steps after which it is aborted; null: never. */
	readonly abortAfter: number | null;
}

const tokens = (max: number) =>
	fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: max });
const arrival: fc.Arbitrary<Arrival> = fc.record({
	prompt: fc.oneof(
		tokens(30),
		tokens(10).map((tail) => [3, 1, 2, 3, 0, 1, 2, 3, 0, 1, ...tail]),
	),
	maxTokens: fc.integer({ min: 1, max: 20 }),
	eos: fc.boolean(),
	n: fc.constantFrom(1, 1, 1, 3),
	scores: fc.constantFrom(false, false, true),
	priority: fc.constantFrom(0, 0, 0, 1, -1),
	badWords: fc.constantFrom(false, false, false, true),
	at: fc.nat({ max: 30 }),
	abortAfter: fc.option(fc.nat({ max: 20 }), { freq: 5 }),
});
const scenario = fc.record({
	arrivals: fc.array(arrival, { minLength: 1, maxLength: 25 }),
	numBlocks: fc.integer({ min: 1, max: 40 }),
	blockSize: fc.constantFrom(1, 2, 3, 4, 16),
	maxNumSeqs: fc.integer({ min: 1, max: 6 }),
	budget: fc.integer({ min: 6, max: 40 }),
	enablePrefixCaching: fc.boolean(),
	enableChunkedPrefill: fc.boolean(),
	overlap: fc.boolean(),
});

const EOS = 5;

test("random schedules: every law after every step, every token right, nobody starves, nothing leaks", () => {
	let numPreemptions = 0;
	let numHits = 0;
	let numAborted = 0;
	fc.assert(
		fc.property(scenario, (s) => {
			const longest = Math.max(
				...s.arrivals.map((a) => a.prompt.length + a.maxTokens),
			);
			const numBlocks = Math.max(s.numBlocks, Math.ceil(longest / s.blockSize));
			const steps = new LockStep({
				...s,
				numBlocks,
				maxNumBatchedTokens: s.enableChunkedPrefill
					? s.budget
					: Math.max(s.budget, longest),
			});
			const events: (() => void)[][] = Array.from({ length: 64 }, () => []);
			const all: { seq: Sequence; arrival: Arrival }[] = [];
			let order = 0;
			for (const arrival of s.arrivals) {
				let first: Sequence | null = null;
				for (let index = 0; index < arrival.n; index++) {
					const { prompt, maxTokens, priority } = arrival;
					const promptLogprobs = arrival.scores && index === 0 ? 0 : null;
					const seq: Sequence = makeSequence(
						prompt,
						{ maxTokens, promptLogprobs },
						{
							arrival: order++,
							index,
							priority,
							sibling: first,
							eosTokenIds: arrival.eos ? [EOS] : [],
							badWordIds: arrival.badWords ? [[1, 2]] : [],
						},
					);
					first ??= seq;
					all.push({ seq, arrival });
					events[arrival.at + 2 * index].push(() => steps.scheduler.add(seq));
					if (arrival.abortAfter !== null)
						events[
							Math.min(63, arrival.at + 2 * index + arrival.abortAfter)
						].push(() => steps.scheduler.finish(seq, "abort"));
				}
			}
			for (const happens of events)
				steps.step(() => {
					for (const event of happens) event();
				});
			// Each token may be computed again after every preemption, yet somebody gets on in every step.
			steps.finishAll(40 * all.length + 2000);

			assert.equal(
				steps.blocks.numFreeBlocks,
				numBlocks,
				"all blocks are back",
			);
			assert.equal(steps.scheduler.numRunning, 0);
			for (const { seq, arrival } of all) {
				const { prompt, maxTokens } = arrival;
				const expected = expectedOutput(
					prompt,
					maxTokens,
					arrival.eos ? [EOS] : [],
				);
				const { status } = seq;
				assert.equal(status.kind, "finished");
				const aborted = status.kind === "finished" && status.reason === "abort";
				if (aborted) numAborted++;
				const got = output(seq);
				assert.deepEqual(
					got,
					aborted ? expected.slice(0, got.length) : expected,
				);
				const scored = steps.scored.get(seq) ?? [];
				if (arrival.scores && seq.index === 0 && !aborted)
					assert.deepEqual(
						scored,
						Array.from({ length: prompt.length - 1 }, (_, i) => i + 1),
						"every prompt token is scored once, in order",
					);
				else if (!arrival.scores || seq.index > 0) assert.deepEqual(scored, []);
			}
			numPreemptions += steps.scheduler.numPreemptions;
			numHits += steps.scheduler.numPrefixHitTokens;
		}),
		{ numRuns: 1200, seed: 3 },
	);
	assert.ok(numPreemptions > 500, `schedules preempt (${numPreemptions})`);
	assert.ok(numHits > 500, `schedules hit the prefix cache (${numHits})`);
	assert.ok(numAborted > 100, `requests are aborted (${numAborted})`);
});
