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
import { FEATURES } from "./feature-cases.ts";
import { routesExactly, storesColumns } from "./feature-program.ts";

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
			testCase(name, createBackend, index, bound, ahead);
		}
		test(`${name}, ${types}: rows whose logits are NaN fail, and say so`, async () => {
			const backend = await createBackend();
			await runNaNCase(backend, bound);
		});
	}
}

export interface FeatureBounds extends BackendBounds {
	/** So narrow that no other experts are chosen; else cases where a rounded number might are left out. */
	readonly exact?: true;
	/** Leaves out weights stored as columns: `asUsed` quantizes rows. */
	readonly byRows?: true;
	/** Only these, by name, to save time. */
	readonly only?: readonly string[];
}

/** The same for the features no Qwen3 has. */
export function runFeatureCases(
	name: string,
	createBackend: () => Backend | Promise<Backend>,
	bounds: readonly FeatureBounds[],
): void {
	for (const bound of bounds)
		for (const [i, feature] of FEATURES.entries()) {
			const index = MODELS.length + i;
			const ahead = bound === bounds[0] && index % 3 === 0;
			if (bound.models === (i % 2 === 0 ? "even" : "odd")) continue;
			if (bound.only && !bound.only.includes(feature.name)) continue;
			if (!bound.exact && !routesExactly(feature)) continue;
			if (!bound.byRows || !storesColumns(feature))
				testCase(name, createBackend, index, bound, ahead);
		}
}

function testCase(
	name: string,
	createBackend: () => Backend | Promise<Backend>,
	index: number,
	bound: BackendBounds,
	ahead: boolean,
): void {
	const title = `${name}, ${describeTypes(bound)}: ${describeModel(index)}`;
	test(title, async (t) => {
		const backend = await createBackend();
		const worst = await runCase(backend, index, bound, { ahead });
		t.diagnostic(`largest difference of a logprob: ${worst.toExponential(1)}`);
	});
}
