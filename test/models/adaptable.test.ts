/** Programs with room for adapters: the same weights, every linear matrix a target, experts and vocabulary as they were. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
	adapterTargets,
	checkpointTensors,
	type Op,
	type Program,
	weightsOf,
} from "../../src/backends/program.ts";
import { adaptable } from "../../src/models/adaptable.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { goldenCheckpoints } from "../support/golden.ts";

const SLOTS = { numSlots: 2, maxRank: 8 };

const programOf = (folder: string): Program =>
	buildProgram(
		parseModelConfig(JSON.parse(readFileSync(`${folder}/config.json`, "utf8"))),
	);

const isLora = ({ op }: Op) => op === "lora";

for (const { name, folder } of goldenCheckpoints("families"))
	test(`${name}: every matrix but experts, embeddings and head is a target once, where its rows are`, () => {
		const plain = programOf(folder);
		const program = adaptable(plain, SLOTS);
		assert.equal(plain.ops.some(isLora), false);
		assert.equal(plain.adapters, undefined);
		assert.deepEqual(program.adapters, SLOTS);
		assert.deepEqual(weightsOf(program), weightsOf(plain));

		const shapes = new Map(
			checkpointTensors(plain).map(({ name, shape }) => [name, shape]),
		);
		const targets = adapterTargets(program);
		const names = targets.map((target) => `${target.name}.weight`);
		const wanted = [...shapes.keys()].filter(
			(tensor) => /_proj\.weight$/.test(tensor) && !/\.experts\./.test(tensor),
		);
		assert.deepEqual(names.toSorted(), wanted.toSorted());
		for (const { name, rows, columns } of targets)
			assert.deepEqual(shapes.get(`${name}.weight`), [rows, columns]);

		for (const [i, op] of program.ops.entries()) {
			if (op.op !== "lora") continue;
			const before = program.ops[i - 1];
			assert.ok(before.op === "normLinear" || before.op === "linearAdd");
			assert.deepEqual(
				op.input,
				before.input,
				"it reads what the linear reads",
			);
			let row = 0;
			for (const [part, target] of op.targets.entries()) {
				assert.equal(target.firstRow, row);
				assert.equal(before.weight.parts[part].rows, target.rows);
				row += target.rows;
			}
			assert.equal(row, op.output.width);
		}
		const rest = program.ops.filter(({ op }) => op === "normGatedLinear");
		assert.deepEqual(rest, [], "gates come after what adapters add");
	});

test("a norm after a layer comes after what adapters add, a gate too", () => {
	const names = (program: Program) => program.ops.map(({ op }) => op);
	const [gemma] = goldenCheckpoints("families").filter(
		({ name }) => name === "gemma2-caps",
	);
	const plain = programOf(gemma.folder);
	assert.deepEqual(names(plain).slice(0, 7), [
		"embed",
		"normLinear",
		"ropeAndCache",
		"attention",
		"linearAdd",
		"normGatedLinear",
		"linearAdd",
	]);
	assert.deepEqual(names(adaptable(plain, SLOTS)).slice(0, 14), [
		"embed",
		...["normLinear", "lora"],
		...["ropeAndCache", "attention"],
		...["normLinear", "lora", "normAdd"],
		...["normLinear", "lora", "gate"],
		...["normLinear", "lora", "normAdd"],
	]);
});
