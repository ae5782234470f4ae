/** Constrained sequences in the step loop: masks that come late, fail, or meet other rules; who waits for them and who does not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Executable, StepInput } from "../../src/backends/backend.ts";
import type { TokenConstraint } from "../../src/engine/constraint.ts";
import { LlmEngine } from "../../src/engine/llm-engine.ts";
import {
	countingExecutable,
	engineConfig,
	overlapping,
	request,
	tinyExecutable,
} from "../support/engine-harness.ts";

const WORDS = 2;
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const both = [
	["in turn", (e: Executable) => e],
	["overlapped", overlapping],
] as const;

/** Allows the token after the last one alone, `turnsLate` turns of the event loop late. */
function countUp(turnsLate: number, first = 10) {
	const seen = { accepted: [] as number[], disposed: 0 };
	const maskOf = (token: number) => {
		const mask = new Uint32Array(WORDS);
		mask[token >> 5] |= 1 << (token & 31);
		return mask;
	};
	const start = (): TokenConstraint => {
		const constraint = {
			mask: maskOf(first),
			pending: null as Promise<void> | null,
			accept(tokenId: number) {
				seen.accepted.push(tokenId);
				if (turnsLate === 0) {
					constraint.mask = maskOf(tokenId + 1);
					return;
				}
				const late = async () => {
					for (let i = 0; i < turnsLate; i++) await turn();
					constraint.mask = maskOf(tokenId + 1);
					constraint.pending = null;
				};
				constraint.pending = late();
			},
			dispose() {
				seen.disposed++;
			},
		};
		return constraint;
	};
	return { seen, start };
}

const masked = (input: StepInput, row: number): number | null => {
	const at = input.sampling.maskRows
		.subarray(0, input.sampling.numMasks)
		.indexOf(row);
	if (at < 0) return null;
	const mask = input.sampling.masks.subarray(at * WORDS, (at + 1) * WORDS);
	for (let token = 0; token < 32 * WORDS; token++)
		if ((mask[token >> 5] >>> (token & 31)) & 1) return token;
	return null;
};

for (const [how, wrap] of both)
	for (const turnsLate of [0, 1, 5])
		test(`${how}, masks ${turnsLate} turns late: every token obeys its mask, others go on`, async () => {
			const seenMasks: (number | null)[][] = [];
			const counting = countingExecutable(64, (input, row) =>
				row === 0
					? seenMasks.push(
							Array.from({ length: input.numSampleRows }, (_, r) =>
								masked(input, r),
							),
						) &&
						(masked(input, row) ?? 1)
					: (masked(input, row) ?? 1),
			);
			const engine = new LlmEngine(wrap(counting), engineConfig());
			const { seen, start } = countUp(turnsLate);
			const bound = request("bound", [1, 2, 3], { maxTokens: 6 });
			const free = request("free", [4, 5], { maxTokens: 30 });
			engine.add({ ...bound, startConstraint: start });
			engine.add(free);
			await Promise.all([bound.seen.done, free.seen.done]);
			assert.deepEqual(bound.seen.tokenIds, [[10, 11, 12, 13, 14, 15]]);
			assert.deepEqual(seen.accepted, [10, 11, 12, 13, 14]);
			assert.equal(free.seen.tokenIds[0].length, 30);
			assert.equal(seen.disposed, 1);
			const alone = seenMasks.filter((masks) => !masks.some((m) => m !== null));
			assert.ok(alone.length >= 24, "steps without the bound one went on");
			await engine.close();
		});

test("n sequences have a constraint each, and each is disposed once, aborted or not", async () => {
	const { seen, start } = countUp(1);
	const counting = countingExecutable(
		64,
		(input, row) => masked(input, row) ?? 0,
	);
	const engine = new LlmEngine(overlapping(counting), engineConfig());
	const three = request("three", [1], { n: 3, maxTokens: 4, temperature: 1 });
	engine.add({ ...three, startConstraint: start });
	await three.seen.done;
	assert.equal(seen.disposed, 3);
	const aborted = request("aborted", [1], {
		n: 2,
		maxTokens: 40,
		temperature: 1,
	});
	engine.add({ ...aborted, startConstraint: start });
	await turn();
	engine.abort("aborted");
	await aborted.seen.done;
	assert.equal(seen.disposed, 5);
	await engine.close();
	assert.equal(seen.disposed, 5);
});

test("a constraint that fails fails its request and no other", async () => {
	const failing = (): TokenConstraint => {
		const constraint = {
			mask: new Uint32Array([1 << 5, 0]),
			pending: null as Promise<void> | null,
			accept() {
				constraint.pending = turn().then(() => {
					throw new Error("the automaton is gone");
				});
				constraint.pending.catch(() => {});
			},
			dispose() {},
		};
		return constraint;
	};
	for (const [, wrap] of both) {
		const counting = countingExecutable(64);
		const engine = new LlmEngine(wrap(counting), engineConfig());
		const bound = request("bound", [1, 2], { maxTokens: 8 });
		const free = request("free", [3], { maxTokens: 12 });
		engine.add({ ...bound, startConstraint: failing });
		engine.add(free);
		await Promise.all([bound.seen.done, free.seen.done]);
		assert.equal(bound.seen.ends[0].kind, "failed");
		assert.equal(free.seen.ends[0].kind, "finished");
		await engine.close();
	}
});

test("allowedTokenIds and the constraint hold together; nothing left is the request's error", async () => {
	const config = engineConfig();
	const engine = new LlmEngine(await tinyExecutable(config, 32), config);
	const allowed = (ids: number[]): TokenConstraint => {
		const mask = new Uint32Array(WORDS);
		for (const id of ids) mask[id >> 5] |= 1 << (id & 31);
		return { mask, pending: null, accept() {}, dispose() {} };
	};
	const params = { maxTokens: 5, temperature: 1, allowedTokenIds: [7, 8, 40] };
	const some = request("some", [1, 2], params);
	const none = request("none", [1, 2], params);
	engine.add({ ...some, startConstraint: () => allowed([8, 9, 40]) });
	engine.add({ ...none, startConstraint: () => allowed([9]) });
	await Promise.all([some.seen.done, none.seen.done]);
	assert.equal(some.seen.tokenIds[0].length, 5);
	for (const id of some.seen.tokenIds[0]) assert.ok([8, 40].includes(id));
	const end = none.seen.ends[0];
	assert.ok(
		end.kind === "failed" && /structuredOutputs/.test(end.error.message),
	);
	await engine.close();
});

test("few blocks: preempted sequences go on where their constraint stands, and the others' tokens do not change", async () => {
	const tokensOf = async (
		numBlocks: number,
		wrap: (e: Executable) => Executable,
	) => {
		const config = engineConfig({ enablePrefixCaching: false });
		const engine = new LlmEngine(
			wrap(await tinyExecutable(config, numBlocks)),
			config,
		);
		const requests = Array.from({ length: 5 }, (_, i) =>
			request(`r${i}`, [i + 1, 2, 3], {
				maxTokens: 20,
				temperature: 1,
				seed: i,
			}),
		);
		const counts = requests.map(() => countUp(2));
		requests.forEach((each, i) => {
			const startConstraint = i % 2 === 0 ? counts[i].start : null;
			engine.add({ ...each, startConstraint });
		});
		await Promise.all(requests.map(({ seen }) => seen.done));
		const preemptions = engine.stats().numPreemptions;
		await engine.close();
		return {
			tokens: requests.map(({ seen }) => seen.tokenIds[0]),
			preemptions,
		};
	};
	const roomy = await tokensOf(64, (e) => e);
	assert.equal(roomy.preemptions, 0);
	assert.deepEqual(
		roomy.tokens[0],
		Array.from({ length: 20 }, (_, i) => 10 + i),
	);
	for (const [, wrap] of both) {
		const tight = await tokensOf(12, wrap);
		assert.ok(tight.preemptions > 0);
		assert.deepEqual(tight.tokens, roomy.tokens);
	}
});

/** Its second mask never comes. */
function never(): TokenConstraint {
	const constraint = {
		mask: new Uint32Array([2, 0]),
		pending: null as Promise<void> | null,
		accept() {
			constraint.pending = new Promise(() => {});
		},
		dispose() {},
	};
	return constraint;
}

test("a mask that never comes keeps nobody else waiting: not who arrives, not an abort, not a close", async () => {
	const engine = new LlmEngine(countingExecutable(16), engineConfig());
	const stuck = request("stuck", [1], { maxTokens: 4 });
	engine.add({ ...stuck, startConstraint: never });
	await turn();
	const free = request("free", [2], { maxTokens: 6 });
	engine.add(free);
	await free.seen.done;
	assert.equal(free.seen.tokenIds[0].length, 6);
	engine.abort("stuck");
	await stuck.seen.done;
	assert.equal(stuck.seen.ends[0].kind, "finished");
	const again = request("again", [1], { maxTokens: 4 });
	engine.add({ ...again, startConstraint: never });
	await turn();
	await engine.close();
	await again.seen.done;
	assert.equal(again.seen.ends[0].kind, "failed");
});
