/** A GGUF model on the GPU: q8_0 and q4_0 as they are, other types as halves, against the reference over the same numbers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BlockDtype } from "../../../src/backends/backend.ts";
import { largestDifference, twins } from "../../support/gguf-twins.ts";

/** Halves throughout, as in golden.test.ts. Seen: 0.002. */
const BOUND = 0.02;

const TYPES: readonly [RegExp, BlockDtype][] = [
	[/gate_proj|up_proj/, "q4_0"],
	[/v_proj|down_proj/, "q6_k"],
	[/q_proj|k_proj/, "q4_k"],
	[/./, "q8_0"],
];

test("matrices in q8_0, in q4_0, and in types that become halves", async (t) => {
	const model = twins(
		(name) => TYPES.find(([pattern]) => pattern.test(name))?.[1] ?? "q8_0",
	);
	const worst = await largestDifference(model, { device: "webgpu" });
	t.diagnostic(`largest difference ${worst}`);
	assert.ok(worst <= BOUND, `${worst}`);
});
