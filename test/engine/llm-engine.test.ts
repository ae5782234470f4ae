/** The step loop: who is told what, when steps fail, when callers interfere. On an executable that computes nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Executable, StepInput } from "../../src/backends/backend.ts";
import type { SamplingParamsInput } from "../../src/config.ts";
import {
	LlmEngine,
	type LlmEngineConfig,
} from "../../src/engine/llm-engine.ts";
import { NanoVllmError } from "../../src/errors.ts";
import {
	countingExecutable,
	engineConfig,
	overlapping,
	request,
} from "../support/engine-harness.ts";

function engineOf(
	executable: Executable,
	config: Partial<LlmEngineConfig> = {},
): LlmEngine {
	return new LlmEngine(executable, engineConfig(config));
}

function add(
	engine: LlmEngine,
	id: string,
	prompt: readonly number[],
	params: SamplingParamsInput = {},
	options: Parameters<typeof request>[3] = {},
) {
	const each = request(id, prompt, params, options);
	const metrics = engine.add(each);
	return { ...each.seen, metrics, sink: each.sink };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const both = [
	["in turn", (e: Executable) => e],
	["overlapped", overlapping],
] as const;

/** Fails the n-th step, as a backend whose device is gone. */
function failing(executable: Executable, step: number): Executable {
	let steps = 0;
	return {
		...executable,
		submit: async (input) => {
			if (++steps >= step) throw new Error("the device went away");
			return executable.submit(input);
		},
	};
}

for (const [how, wrap] of both) {
	test(`${how}: requests added together share the first step`, async () => {
		const seen: number[] = [];
		const counting = countingExecutable(64);
		const engine = engineOf(
			wrap({
				...counting,
				submit: (input) => {
					seen.push(input.numSeqs);
					return counting.submit(input);
				},
			}),
		);
		const all = [1, 2, 3].map((i) =>
			add(engine, `r${i}`, [i], { maxTokens: 2 }),
		);
		await Promise.all(all.map((r) => r.done));
		assert.equal(seen[0], 3);
		await engine.close();
	});

	test(`${how}: ends by length, stop token and end-of-sequence, and their reasons`, async () => {
		const engine = engineOf(
			wrap(
				countingExecutable(64, (input, row) =>
					input.sampling.outputPosition[row] === 2 ? 9 : 1,
				),
			),
		);
		const eos = { eosTokenIds: [9] };
		const cases = [
			add(engine, "length", [1], { maxTokens: 5 }),
			add(engine, "stop", [1], { maxTokens: 5, stopTokenIds: [9] }),
			add(engine, "eos", [1], { maxTokens: 5 }, eos),
			add(engine, "both", [1], { maxTokens: 5, stopTokenIds: [9] }, eos),
			add(engine, "late", [1], { maxTokens: 5, minTokens: 4 }, eos),
			add(engine, "just", [1], { maxTokens: 5, minTokens: 3 }, eos),
			add(engine, "last", [1], { maxTokens: 3 }, eos),
		];
		await Promise.all(cases.map((c) => c.done));
		const ends = cases.map((c) => {
			const [end] = c.ends;
			assert.ok(end.kind === "finished");
			return [c.tokenIds[0].length, end.reason, end.stopReason];
		});
		assert.deepEqual(ends, [
			[5, "length", null],
			[3, "stop", 9],
			[3, "stop", null],
			[3, "stop", null],
			[5, "length", null],
			[3, "stop", null],
			[3, "stop", null],
		]);
		const stats = engine.stats();
		assert.equal(stats.kvCacheUsage, 0);
		assert.equal(
			stats.numGenerationTokens,
			cases.reduce((sum, c) => sum + c.tokenIds[0].length, 0),
			"tokens behind a stop are not counted",
		);
		await engine.close();
	});

	test(`${how}: a row that cannot be sampled fails its request and no other`, async () => {
		const counting = countingExecutable(64);
		const engine = engineOf(
			wrap({
				...counting,
				submit: async (input: StepInput) => {
					const failedRows = new Map<number, "nan" | "forbidden">();
					for (let r = 0; r < input.numSampleRows; r++) {
						const token = input.tokenIds[input.logitRows[r]];
						if (token === 50) failedRows.set(r, "nan");
						if (token === 51) failedRows.set(r, "forbidden");
					}
					return { ...(await counting.submit(input)), failedRows };
				},
			}),
		);
		const nan = add(engine, "nan", [1, 50], { maxTokens: 6 });
		const good = add(engine, "good", [2], { maxTokens: 6 });
		const forbidden = add(engine, "forbidden", [51], { maxTokens: 6, n: 3 });
		await Promise.all([nan.done, good.done, forbidden.done]);
		for (const [seen, code] of [
			[nan, "nan_logits"],
			[forbidden, "invalid_sampling_params"],
		] as const)
			for (const end of seen.ends) {
				assert.ok(end.kind === "failed");
				assert.ok(end.error instanceof NanoVllmError);
				assert.equal(end.error.code, code);
			}
		assert.equal(forbidden.ends.length, 3);
		assert.deepEqual(good.tokenIds, [[1, 1, 1, 1, 1, 1]]);
		assert.equal(engine.stats().kvCacheUsage, 0);
		await engine.close();
	});

	for (const k of [1, 2, 5])
		test(`${how}: when step ${k} fails every request is told, and the engine closes`, async () => {
			let closed = 0;
			const counting = countingExecutable(64);
			const engine = engineOf(
				wrap(failing({ ...counting, close: async () => void closed++ }, k)),
				{ maxNumSeqs: 2 },
			);
			const all = [1, 2, 3, 4].map((i) =>
				add(engine, `r${i}`, [i, 2, 3], { maxTokens: 9, n: i === 1 ? 2 : 1 }),
			);
			await Promise.all(all.map((r) => r.done));
			for (const { ends } of all)
				for (const end of ends) {
					assert.ok(end.kind === "failed");
					assert.ok(end.error instanceof NanoVllmError);
					assert.equal(end.error.code, "backend_failed");
					assert.match(end.error.message, /the device went away/);
				}
			const stats = engine.stats();
			assert.equal(stats.numRequestsRunning + stats.numRequestsWaiting, 0);
			assert.equal(stats.kvCacheUsage, 0);
			assert.throws(() => add(engine, "late", [1]), {
				name: "NanoVllmError",
				code: "backend_failed",
			});
			await engine.close();
			assert.equal(closed, 1);
			assert.throws(() => add(engine, "later", [1]), NanoVllmError);
		});

	test(`${how}: close fails what runs and waits, and lets the step in flight end`, async () => {
		let running = 0;
		let atClose = -1;
		const counting = countingExecutable(64);
		const engine = engineOf(
			wrap({
				...counting,
				submit: async (input) => {
					running++;
					const output = await counting.submit(input);
					for (let i = 0; i < 3; i++) await turn();
					running--;
					return output;
				},
				close: async () => {
					atClose = running;
				},
			}),
			{ maxNumSeqs: 1 },
		);
		const all = [1, 2].map((i) => add(engine, `r${i}`, [i], { maxTokens: 50 }));
		while (running === 0) await turn();
		await engine.close();
		assert.equal(atClose, 0);
		await Promise.all(all.map((r) => r.done));
		for (const { ends } of all)
			assert.ok(
				ends[0].kind === "failed" &&
					(ends[0].error as NanoVllmError).code === "engine_closed",
			);
		assert.throws(() => add(engine, "late", [1]), { code: "engine_closed" });
		await engine.close();
	});

	test(`${how}: a sink that throws loses its own request`, async () => {
		const engine = engineOf(wrap(countingExecutable(64)));
		const bad = request("bad", [1], { maxTokens: 9 });
		const onToken = bad.sink.onToken;
		let numTokens = 0;
		engine.add({
			...bad,
			sink: {
				...bad.sink,
				onToken: (...args) => {
					if (++numTokens === 3) throw new Error("boom");
					return onToken(...args);
				},
			},
		});
		const good = add(engine, "good", [2], { maxTokens: 9 });
		await Promise.all([bad.seen.done, good.done]);
		const [end] = bad.seen.ends;
		assert.ok(end.kind === "failed" && end.error instanceof NanoVllmError);
		assert.match(end.error.message, /boom/);
		assert.equal(good.tokenIds[0].length, 9);
		await engine.close();
	});

	test(`${how}: a request aborted from within its own sink ends once`, async () => {
		for (const n of [1, 2]) {
			const engine = engineOf(wrap(countingExecutable(64)));
			const each = request("r", [1, 2], { maxTokens: 9, n });
			const ends: number[] = [];
			engine.add({
				...each,
				sink: {
					...each.sink,
					onToken: (seq, ...rest) => {
						each.sink.onToken(seq, ...rest);
						if (seq.numTokens === 5 && seq.index === 0) engine.abort("r");
						return null;
					},
					onFinish: (seq) => {
						ends.push(seq.index);
						each.sink.onFinish(seq);
					},
				},
			});
			const other = add(engine, "other", [3], { maxTokens: 9 });
			await Promise.all([each.seen.done, other.done]);
			assert.deepEqual(ends.toSorted(), n === 1 ? [0] : [0, 1]);
			for (const end of each.seen.ends)
				assert.ok(end.kind === "finished" && end.reason === "abort");
			assert.equal(other.tokenIds[0].length, 9);
			await engine.close();
		}
	});

	test(`${how}: abort before, between and after; unknown ids are nothing`, async () => {
		const engine = engineOf(wrap(countingExecutable(64)), { maxNumSeqs: 2 });
		engine.abort("nobody");
		const early = add(engine, "early", [1], { maxTokens: 9, n: 3 });
		engine.abort("early");
		await early.done;
		assert.deepEqual(early.tokenIds, [[], [], []]);
		const all = [1, 2, 3, 4].map((i) =>
			add(engine, `r${i}`, [i, 1, 1], { maxTokens: 200 }),
		);
		for (let i = 0; i < 12; i++) await turn();
		for (const i of [3, 1]) engine.abort(`r${i}`);
		await Promise.all([all[0].done, all[2].done]);
		assert.ok(all[0].tokenIds[0].length > 0);
		assert.equal(all[2].tokenIds[0].length, 0);
		await Promise.all([all[1].done, all[3].done]);
		assert.equal(all[1].tokenIds[0].length, 200);
		engine.abort("r1");
		assert.equal(engine.stats().kvCacheUsage, 0);
		await engine.close();
	});

	test(`${how}: a request added from within a sink's end runs`, async () => {
		const engine = engineOf(wrap(countingExecutable(64)));
		const first = request("first", [1], { maxTokens: 3 });
		const second = Promise.withResolvers<ReturnType<typeof add>>();
		engine.add({
			...first,
			sink: {
				...first.sink,
				onFinish: (seq) => {
					first.sink.onFinish(seq);
					second.resolve(add(engine, "second", [2], { maxTokens: 3 }));
				},
			},
		});
		const { done, tokenIds } = await second.promise;
		await done;
		assert.equal(tokenIds[0].length, 3);
		await engine.close();
	});

	test(`${how}: metrics stand in order, and count preemptions`, async () => {
		let clock = 0;
		const engine = engineOf(wrap(countingExecutable(6)), {
			now: () => ++clock,
			maxNumBatchedTokens: 16,
		});
		const all = [1, 2, 3].map((i) =>
			add(engine, `r${i}`, [i, 1, 1, 1, 1, 1], { maxTokens: 10 }),
		);
		await Promise.all(all.map((r) => r.done));
		let numPreemptions = 0;
		for (const { metrics } of all) {
			const { arrivalMs, firstScheduledMs, firstTokenMs, finishedMs } = metrics;
			const times = [arrivalMs, firstScheduledMs, firstTokenMs, finishedMs];
			assert.ok(times.every((t) => t !== null));
			assert.deepEqual(
				times,
				times.toSorted((a, b) => (a as number) - (b as number)),
			);
			numPreemptions += metrics.numPreemptions;
		}
		assert.ok(numPreemptions > 0, "six blocks are too few for all");
		assert.equal(engine.stats().numPreemptions, numPreemptions);
		assert.equal(engine.stats().numGenerationTokens, 30);
		await engine.close();
	});
}

test("overlapped: a step that fails is told only when the one behind it has ended too", async () => {
	const counting = countingExecutable(64);
	let step = 0;
	let running = 0;
	const engine = engineOf({
		...counting,
		overlaps: true,
		submit: async (input) => {
			if (++step === 3) throw new Error("boom");
			running++;
			for (let i = 0; i < 3; i++) await turn();
			running--;
			return counting.submit(input);
		},
	});
	const { done, ends } = add(engine, "r", [1], { maxTokens: 20 });
	await done;
	assert.equal(step, 4);
	assert.equal(running, 0);
	assert.equal(ends[0].kind, "failed");
	await engine.close();
});

test("the engine rests and wakes: one loop after another", async () => {
	const engine = engineOf(countingExecutable(64));
	for (let i = 0; i < 5; i++) {
		const { done } = add(engine, `r${i}`, [1, 2, 3, 4, 5], { maxTokens: 3 });
		await done;
		await turn();
		assert.equal(engine.stats().numRequestsRunning, 0);
	}
	const { prefixCacheHits, prefixCacheQueries } = engine.stats();
	assert.deepEqual([prefixCacheHits, prefixCacheQueries], [16, 25]);
	engine.resetPrefixCache();
	await add(engine, "r5", [1, 2, 3, 4, 5], { maxTokens: 3 }).done;
	assert.equal(engine.stats().prefixCacheHits, 16);
	await engine.close();
});
