/** The laws of the simulated batch job (bench/simulation), and its times beside what can be worked out by hand or was measured. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Delivery, JobRequest } from "../../bench/simulation/delivery.ts";
import { drawLengths, PUBLISHED } from "../../bench/simulation/lengths.ts";
import { PROFILES } from "../../bench/simulation/profiles.ts";
import {
	DEFAULTS,
	type Lengths,
	type Scenario,
} from "../../bench/simulation/scenario.ts";
import { Simulation } from "../../bench/simulation/simulation.ts";
import {
	type EngineProfile,
	stepSeconds,
} from "../../bench/simulation/step-time.ts";
import { simulate } from "../../bench/simulation/summary.ts";
import { Worker } from "../../bench/simulation/worker.ts";

/** 10 ms a step and 1 ms more for each sequence; 1,000 prompt tokens a second. */
const SMALL: EngineProfile = {
	name: "small",
	source: "made up",
	decodeSteps: [
		{ batch: 1, contextLen: 0, ms: 11 },
		{ batch: 4, contextLen: 0, ms: 14 },
	],
	nsPerCachedToken: 0,
	prefillTokensPerSecond: 1000,
	maxNumSeqs: 4,
	maxNumBatchedTokens: 64,
	loadSeconds: 5,
};

const CALM: Omit<Scenario, "requests" | "numWorkers"> = {
	...DEFAULTS,
	profile: SMALL,
	dispatchSeconds: 0.001,
	latencySeconds: 0.002,
	hedgeFactor: null,
};

function equalRequests(count: number, promptLen: number, outputLen: number) {
	return Array.from({ length: count }, () => ({ promptLen, outputLen }));
}

function deliveryOf(lengths: Lengths): Delivery {
	const request: JobRequest = {
		...lengths,
		numDeliveries: 1,
		numLive: 1,
		isAnswered: false,
		isHedged: false,
		publishedAt: 0,
		holder: 0,
	};
	return { request, worker: 0, deliveredAt: 0, status: { kind: "sent" } };
}

function makespan(scenario: Scenario): number {
	return simulate(scenario).makespanSeconds;
}

function near(actual: number, expected: number, share = 1e-9): void {
	const off = Math.abs(actual / expected - 1);
	assert.ok(off <= share, `${actual} is not ${expected} (off by ${off})`);
}

test("whatever goes wrong, every request is answered once", () => {
	const scenarios = fc.record({
		seed: fc.nat(1000),
		numWorkers: fc.integer({ min: 1, max: 12 }),
		numRequests: fc.integer({ min: 1, max: 150 }),
		credit: fc.constantFrom(0.25, 1, 1.25, 3),
		mtbfSeconds: fc.constantFrom(20, 60, Infinity),
		ackWaitSeconds: fc.constantFrom(2, 30),
		heartbeatSeconds: fc.constantFrom(null, 1, 10),
		restartSeconds: fc.constantFrom(0, 20),
		slowShare: fc.constantFrom(0, 0.3),
		hedgeFactor: fc.constantFrom(null, 0.5, 1.5),
	});
	fc.assert(
		fc.property(scenarios, ({ numRequests, ...given }) => {
			const requests = Array.from({ length: numRequests }, (_, i) => ({
				promptLen: 1 + ((i * 37) % 150),
				outputLen: 1 + ((i * 11) % 40),
			}));
			// run() checks the law itself (tally.ts): here, that it was run over this job
			const simulation = new Simulation({ ...CALM, ...given, requests });
			simulation.run();
			const { answerTimes, numDeliveries } = simulation.tally;
			assert.equal(answerTimes.length, numRequests);
			assert.ok(numDeliveries >= numRequests, "nothing is answered unasked");
		}),
		// Not any seed: where workers die faster than they answer, a job may never end.
		{ numRuns: 150, seed: 20261126 },
	);
});

test("one request on one worker takes the time that can be added up", () => {
	const requests = equalRequests(1, 100, 21);
	// loading; asking, dispatching, sending; two chunks of the prompt; 20 decodes behind the first token; answering
	const expected = 5 + 0.002 + 0.001 + 0.002 + 0.064 + 0.036 + 20 * 0.011;
	near(makespan({ ...CALM, requests, numWorkers: 1 }), expected + 0.002);
});

test("a full batch takes a step's time for each token, and rounds add up", () => {
	for (const rounds of [1, 3]) {
		const worker = new Worker({
			maxNumSeqs: 4,
			maxNumBatchedTokens: 4096,
			slowness: 2,
			stepSeconds: stepSeconds(SMALL),
		});
		for (const lengths of equalRequests(4 * rounds, 50, 11))
			worker.receive(deliveryOf(lengths));
		let seconds = 0;
		let numDone = 0;
		for (let s = worker.beginStep(); s !== null; s = worker.beginStep()) {
			seconds += s;
			numDone += worker.endStep().length;
		}
		// Each round: four prompts of 50 tokens in one step, then ten steps of four decodes.
		near(seconds, 2 * rounds * (0.2 + 10 * 0.014));
		assert.equal(numDone, 4 * rounds);
		assert.equal(worker.held.size, 0);
	}
});

test("nothing goes wrong: nothing is computed twice", () => {
	const requests = drawLengths(500, 1);
	const calm = { ...CALM, profile: PROFILES.h100, requests };
	for (const numWorkers of [1, 7, 40]) {
		const row = simulate({ ...calm, numWorkers });
		assert.equal(row.wastedShare, 0);
		assert.equal(row.redeliveries, 0);
		assert.equal(row.failures, 0);
	}
});

test("more workers, a quicker broker and quicker workers never take longer", () => {
	const requests = drawLengths(1000, 2);
	const calm = { ...CALM, profile: PROFILES.cpu, requests };
	const over = <T>(values: readonly T[], change: (value: T) => object) => {
		const times = values.map((value) =>
			makespan({ ...calm, numWorkers: 4, ...change(value) }),
		);
		for (let i = 1; i < times.length; i++)
			assert.ok(times[i] <= times[i - 1], `${values}: ${times}`);
	};
	over([1, 2, 4, 16, 64], (numWorkers) => ({ numWorkers }));
	over([5, 1, 0.001], (dispatchSeconds) => ({ dispatchSeconds }));
	over([0.5, 0.25, 0], (slowShare) => ({ slowShare }));
});

test("no more requests a second than the broker hands out", () => {
	const requests = equalRequests(2000, 10, 2);
	const broker = { ...CALM, dispatchSeconds: 0.01 };
	const time = makespan({ ...broker, requests, numWorkers: 100 });
	assert.ok(time >= 5 + 2000 * 0.01, `${time}`);
	near(time, 5 + 2000 * 0.01, 0.01);
});

test("a dead worker's requests come again when the ack wait is over", () => {
	// Two workers, two requests of 12 s each; only one worker's death can delay the end.
	const profile = {
		...SMALL,
		maxNumSeqs: 1,
		decodeSteps: [SMALL.decodeSteps[0]],
	};
	const job = { ...CALM, profile, requests: equalRequests(2, 1, 1090) };
	const wait = { ackWaitSeconds: 40, heartbeatSeconds: 3, credit: 1 };
	const undisturbed = makespan({ ...job, ...wait, numWorkers: 2 });
	for (let seed = 0; seed < 400; seed++) {
		const failing = { ...job, ...wait, numWorkers: 2, mtbfSeconds: 60, seed };
		const row = simulate(failing);
		if (row.failures !== 1 || row.redeliveries !== 1) continue;
		const late = row.makespanSeconds - undisturbed;
		// It had worked up to 12 s; the wait began with its last sign of life, up to 3 s before it died.
		assert.ok(late > 40 - 3 && late < 40 + 12.1, `${late} s late`);
		return;
	}
	assert.fail("no seed had one worker die at work");
});

test("without signs of life, an ack wait shorter than an answer has it computed again", () => {
	const profile = {
		...SMALL,
		maxNumSeqs: 1,
		decodeSteps: [SMALL.decodeSteps[0]],
	};
	const job = {
		...CALM,
		profile,
		credit: 1,
		requests: equalRequests(3, 1, 500),
	};
	const short = { ...job, numWorkers: 4, ackWaitSeconds: 2 };
	const silent = simulate({ ...short, heartbeatSeconds: null });
	assert.ok(silent.redeliveries > 0);
	assert.ok(silent.wastedShare > 0);
	const alive = simulate({ ...short, heartbeatSeconds: 1 });
	assert.equal(alive.redeliveries, 0);
	assert.equal(alive.wastedShare, 0);
	assert.equal(alive.makespanSeconds, silent.makespanSeconds);
});

test("failures cost time and work, more of them cost more", () => {
	const requests = drawLengths(3000, 3);
	const job = { ...CALM, profile: PROFILES.h100, requests, numWorkers: 4 };
	const mean = (mtbfSeconds: number) => {
		const rows = [0, 1, 2, 3, 4, 5, 6, 7].map((seed) =>
			simulate({ ...job, mtbfSeconds, seed }),
		);
		const sum = (of: (row: (typeof rows)[0]) => number) =>
			rows.reduce((total, row) => total + of(row), 0) / rows.length;
		return {
			time: sum((r) => r.makespanSeconds),
			waste: sum((r) => r.wastedShare),
		};
	};
	const [never, seldom, often] = [Infinity, 300, 40].map(mean);
	assert.ok(never.time < seldom.time && seldom.time < often.time);
	assert.ok(
		never.waste === 0 && seldom.waste > 0 && often.waste > seldom.waste,
	);
});

test("hedging frees the tail from slow workers, and costs some work twice", () => {
	const requests = drawLengths(4000, 4);
	const slow = { profile: PROFILES.h100, slowShare: 0.2, slowFactor: 6 };
	const job = { ...CALM, ...slow, requests, numWorkers: 5 };
	const alone = simulate(job);
	const hedged = simulate({ ...job, hedgeFactor: 2 });
	assert.ok(hedged.hedgesWon > 0);
	assert.ok(hedged.makespanSeconds < 0.9 * alone.makespanSeconds);
	assert.ok(hedged.wastedShare > 0 && hedged.wastedShare < 0.2);
});

test("the same seed gives the same job, another one another", () => {
	const job = { ...CALM, profile: PROFILES.cpu, numWorkers: 8 };
	const requests = drawLengths(300, 5);
	const failing = { ...job, requests, mtbfSeconds: 300 };
	assert.deepEqual(simulate(failing), simulate(failing));
	assert.notDeepEqual(simulate(failing), simulate({ ...failing, seed: 1 }));
});

test("cost is the workers' time at their price", () => {
	const requests = equalRequests(10, 10, 100);
	const row = simulate({
		...CALM,
		requests,
		numWorkers: 3,
		pricePerWorkerHour: 2,
	});
	const hours = (3 * row.makespanSeconds) / 3600;
	near(row.costPerMillionOutputTokens, (2 * hours) / (1000 / 1e6));
});

test("a step takes what was measured, and lies between measured batches elsewhere", () => {
	const { h100 } = PROFILES;
	const of = stepSeconds(h100);
	for (const { batch, contextLen, ms } of h100.decodeSteps)
		near(of(batch, batch * contextLen, 0), ms / 1000);
	assert.ok(of(100, 60_000, 0) > of(64, 60_000, 0));
	assert.ok(of(100, 60_000, 0) < of(128, 60_000, 0));
	const wide = { ...h100, maxNumSeqs: 512 };
	assert.throws(() => stepSeconds(wide), /measured steps from batch 1 to 512/);
});

test("nano-vLLM's workload takes within a tenth of what one H100 took", () => {
	const profile = { ...PROFILES.h100, loadSeconds: 0 };
	const quick = { ...CALM, profile, dispatchSeconds: 0, latencySeconds: 0 };
	// 8.11 and 8.37 s, warm: bench/results/2026-11-25-webgpu-h100.json
	near(makespan({ ...quick, requests: PUBLISHED, numWorkers: 1 }), 8.24, 0.1);
});
