/** Cases any backend is held against the reference with, as tests of Node. What a case is: backend-case.ts. */
import { test } from "node:test";
import type { Backend } from "../../src/backends/backend.ts";
import {
	type BackendBounds,
	describeModel,
	describeTypes,
	MODELS,
	runCase,
	runNaNCase,
} from "./backend-case.ts";

/**
 * Registers a test per model and bounds. `name` is the backend's, for the tests' names. Under the first bounds the steps of every
 * third model also run a second time, submitted ahead.
 */
export function runBackendCases(
	name: string,
	createBackend: () => Backend | Promise<Backend>,
	bounds: readonly BackendBounds[],
): void {
	for (const bound of bounds) {
		const types = describeTypes(bound);
		for (const index of MODELS.keys()) {
			const ahead = bound === bounds[0] && index % 3 === 0;
			if (bound.models === (index % 2 === 0 ? "even" : "odd")) continue;
			test(`${name}, ${types}: ${describeModel(index)}`, async (t) => {
				const backend = await createBackend();
				const worst = await runCase(backend, index, bound, { ahead });
				t.diagnostic(
					`largest difference of a logprob: ${worst.toExponential(1)}`,
				);
			});
		}
		test(`${name}, ${types}: rows whose logits are NaN fail, and say so`, async () => {
			const backend = await createBackend();
			await runNaNCase(backend, bound);
		});
	}
}
