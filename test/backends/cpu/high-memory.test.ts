/** Addresses of 2 GiB and more are negative as signed numbers: a model laid out above gives the bits it gives below. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CpuOptions } from "../../../src/backends/cpu/backend.ts";
import type { Op, Program } from "../../../src/backends/program.ts";
import { StepWriter } from "../../support/backend-steps.ts";
import {
	compileCpu,
	dummiesOf,
	LIMITS,
	programOf,
	tinyConfig,
} from "./tiny-model.ts";

const COLUMNS = 1024;

/** The same program behind a table of 2 GiB that nothing is loaded into: pages nobody writes take no memory. */
function behind(program: Program, bytesPerRow: number): Program {
	const shape = [Math.ceil(2 ** 31 / bytesPerRow / 8) * 8, COLUMNS];
	const table: Op = {
		op: "embed",
		weight: { name: "table", shape, parts: [] },
		scale: 1,
		output: { name: "unused", rows: "T", width: COLUMNS },
	};
	return { ...program, ops: [table, ...program.ops] };
}

const formats: [string, Partial<CpuOptions>, number][] = [
	["f32", { dtype: "f32" }, 4 * COLUMNS],
	["bf16", { dtype: "bf16" }, 2 * COLUMNS],
	["q8_0", { quantization: "q8_0" }, COLUMNS],
];
for (const [name, options, bytesPerRow] of formats)
	test(`${name} weights, caches and steps above 2 GiB`, async () => {
		const residentBefore = process.memoryUsage.rss();
		const program = programOf(
			tinyConfig({ hidden_size: 96, intermediate_size: 160 }),
		);
		const source = () => dummiesOf(program);
		const limits = { ...LIMITS, maxNumSeqs: 6, maxNumBatchedTokens: 80 };
		const compile = (it: Program) =>
			compileCpu(it, options, { limits, kvCacheDtype: "f16" }, source());
		const low = await compile(program);
		const high = await compile(behind(program, bytesPerRow));
		try {
			assert.ok(high.weightBytes >= 2 ** 31 + low.weightBytes);
			const { vocabSize: vocab } = program;
			const { numBlocks } = low;
			const steps = new StepWriter({ ...limits, vocab, numBlocks, seed: 4 });
			for (const numTokens of [1, 4, 80, 6, 33, 5, 4, 2]) {
				const { input } = steps.next(numTokens);
				const want = await low.submit(structuredClone(input));
				assert.deepEqual(await high.submit(input), want);
				steps.sampled(
					Array.from(want.tokenIds, (id, r) =>
						want.failedRows.has(r) ? null : id,
					),
				);
			}
			const resident = process.memoryUsage.rss() - residentBefore;
			assert.ok(resident < 300 * 2 ** 20, `${resident} bytes of real memory`);
		} finally {
			await Promise.all([low.close(), high.close()]);
		}
	});
