/** Which experts tokens go to, and tokens in the order of their experts: the kernels called directly. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { route } from "../../../src/backends/reference/experts.ts";
import { randomSource } from "../../support/random.ts";
import { assertClose, eachBuild } from "./kernel-room.ts";

eachBuild((room) => {
	test("choose_experts takes what the reference takes, ties and far logits too", () => {
		const random = randomSource(30);
		for (const numExperts of [1, 3, 4, 7, 32, 130, 512])
			for (const topK of [1, 2, 8, numExperts])
				for (const normalize of [false, true]) {
					if (topK > numExperts) continue;
					const numTokens = 9;
					const scores = Array.from({ length: numTokens }, (_, t) =>
						// Whole numbers are often equal.
						random
							.vector(numExperts)
							.map((v) => [v, Math.round(v), 300 * v][t % 3]),
					);
					room.reset();
					const logits = room.put(scores.flatMap((row) => Array.from(row)));
					const ids = room.take(numTokens * topK * 4);
					const weights = room.take(numTokens * topK * 4);
					for (const [start, end] of [
						[4, 9],
						[0, 4],
					])
						room.kernels.choose_experts(
							logits,
							numExperts,
							topK,
							normalize ? 1 : 0,
							0.5,
							start,
							end,
							ids,
							weights,
						);
					for (const [t, row] of scores.entries()) {
						const want = route(row, { topK, normalize });
						const at = t * topK * 4;
						assert.deepEqual(
							Array.from(room.i32(ids + at, topK)),
							want.map(({ expert }) => expert),
						);
						for (const [j, got] of room.f32(weights + at, topK).entries()) {
							const { weight } = want[j];
							const bound = 1e-6 * weight + 1e-30;
							assertClose(got, weight / 2, bound, () => `${t}, ${j}`);
						}
					}
				}
	});

	test("choose_experts: a NaN makes the token's weights NaN, its experts stay experts", () => {
		for (const at of [0, 2, 4]) {
			room.reset();
			const row = [3, 1, 2, 5, 4];
			row[at] = Number.NaN;
			const [logits, ids, weights] = [
				room.put(row),
				room.take(12),
				room.take(12),
			];
			room.kernels.choose_experts(logits, 5, 3, 1, 1, 0, 1, ids, weights);
			assert.ok(room.i32(ids, 3).every((id) => id >= 0 && id < 5));
			assert.ok(room.f32(weights, 3).every(Number.isNaN));
		}
	});

	test("group_by_expert: every choice once, experts in order, tokens in order, no group shared", () => {
		const random = randomSource(31);
		for (const numExperts of [1, 3, 64, 130])
			for (const numTokens of [1, 5, 67])
				for (const skewed of [false, true]) {
					const topK = Math.min(3, numExperts);
					const all = Array.from({ length: numExperts }, (_, e) => e);
					const chosen = Array.from({ length: numTokens }, () =>
						skewed ? all.slice(0, topK) : random.shuffled(all).slice(0, topK),
					);
					const total = numTokens * topK;
					room.reset();
					const ids = room.put(chosen.flat(), "i32");
					const weights = room.put(random.vector(total));
					const words = (n: number) => room.take(n * 4);
					const starts = words(numExperts + 1);
					const groupStarts = words(numExperts + 1);
					const next = words(numExperts);
					const [tokens, slots, factors] = [total, total, total].map(words);
					room.kernels.group_by_expert(
						ids,
						weights,
						numTokens,
						topK,
						numExperts,
						starts,
						groupStarts,
						next,
						tokens,
						slots,
						factors,
					);
					const given = room.f32(weights, total);
					const i32 = (at: number, n: number) => Array.from(room.i32(at, n));
					const [first, groups] = [starts, groupStarts].map((at) =>
						i32(at, numExperts + 1),
					);
					assert.equal(first[numExperts], total);
					for (let e = 0; e < numExperts; e++) {
						const mine = chosen.flatMap((list, t) =>
							list.includes(e)
								? [{ t, factor: given[t * topK + list.indexOf(e)] }]
								: [],
						);
						const count = first[e + 1] - first[e];
						const from = first[e] * 4;
						assert.deepEqual(
							i32(tokens + from, count),
							mine.map(({ t }) => t),
						);
						assert.deepEqual(
							Array.from(room.f32(factors + from, count)),
							mine.map(({ factor }) => factor),
						);
						assert.equal(groups[e + 1] - groups[e], Math.ceil(count / 4));
						assert.deepEqual(
							i32(slots + from, count),
							mine.map((_, i) => groups[e] * 4 + i),
						);
					}
				}
	});
});
