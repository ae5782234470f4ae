/** The kernels of processors without eight-bit dot products, on those that have them: V8 is told to leave the instructions alone. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

for (const file of ["kernels", "experts", "pack-blocks"])
	test(`${file}.test.ts without AVX-VNNI`, {
		skip: process.arch !== "x64" && `an option of x64, this is ${process.arch}`,
	}, async () => {
		const tests = new URL(`${file}.test.ts`, import.meta.url);
		// Else the child takes itself for a test file of this run and reports to it.
		const { NODE_TEST_CONTEXT: _, ...env } = process.env;
		const flags = ["--no-enable-avx-vnni", "--test-reporter=tap"];
		const { stdout } = await promisify(execFile)(
			process.execPath,
			[...flags, fileURLToPath(tests)],
			{ env, maxBuffer: 2 ** 26 },
		);
		assert.match(stdout, /^# fail 0$/m);
		assert.match(stdout, /^# pass [1-9]/m);
	});
