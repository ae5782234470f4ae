/** A program with room for adapters is the plain one again, with each linear's adapters beside it. No device. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { adapterTargets } from "../../../src/backends/program.ts";
import { fuseAdapters } from "../../../src/backends/webgpu/adapter-fusion.ts";
import { adaptable } from "../../../src/models/adaptable.ts";
import { buildProgram } from "../../../src/models/architectures.ts";
import { parseModelConfig } from "../../../src/models/config.ts";
import { goldenCheckpoints } from "../../support/golden.ts";

const SLOTS = { numSlots: 2, maxRank: 8 };

for (const { name, folder } of goldenCheckpoints("families"))
	test(`${name}: the same ops as without adapters`, () => {
		const text = readFileSync(`${folder}/config.json`, "utf8");
		const plain = buildProgram(parseModelConfig(JSON.parse(text)));
		const given = adaptable(plain, SLOTS);
		const { program, loras } = fuseAdapters(given);
		assert.deepEqual(program, { ...plain, adapters: SLOTS });
		const linears = program.ops.filter(({ op }) => /linear/i.test(op));
		assert.deepEqual([...loras.keys()], linears);
		const targets = [...loras.values()].flatMap((lora) => lora.targets);
		assert.deepEqual(targets, adapterTargets(given));
		assert.equal(fuseAdapters(plain).loras.size, 0);
	});
