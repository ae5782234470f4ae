/** Flags without a process: values, the tables, and every command's help. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "commander";
import { ENGINE_FLAGS } from "../../src/cli/engine-flags.ts";
import { inFlags, kebab } from "../../src/cli/flags.ts";
import { createProgram } from "../../src/cli/program.ts";
import { parseCount, parseIntegers, parseRange } from "../../src/cli/values.ts";
import { createRandom } from "../../src/cli/workload.ts";
import { ENGINE_DEFAULTS, resolveEngineConfig } from "../../src/config.ts";

/** Every command that does something. */
function leaves(command: Command): Command[] {
	const { commands } = command;
	return commands.length === 0 ? [command] : commands.flatMap(leaves);
}

const commands = leaves(createProgram());
/** There is a serve of its own, and one of bench. */
const fullName = (command: (typeof commands)[number]): string =>
	`${command.parent?.name()} ${command.name()}`.replace("nano-vllm ", "");
const WITHOUT_ENGINE = [
	"job status",
	"job cancel",
	"download",
	"inspect",
	"bench serve",
	"bench kernels",
];
const withEngine = commands.filter(
	(command) => !WITHOUT_ENGINE.includes(fullName(command)),
);

test("counts take vLLM's suffixes: small ones decimal, large ones binary", () => {
	const cases: [string, number][] = [
		["512", 512],
		["1k", 1000],
		["1K", 1024],
		["25.6k", 25_600],
		["2M", 2 * 2 ** 20],
		["3g", 3e9],
		["-1", -1],
	];
	for (const [text, value] of cases) assert.equal(parseCount(text), value);
	for (const text of [
		"",
		"4.5K",
		"1.5",
		"k",
		"1kk",
		"0.0001k",
		"1e3",
		"9999999G",
	])
		assert.throws(() => parseCount(text), {
			code: "commander.invalidArgument",
		});
});

test("ranges are one length or low:high", () => {
	assert.deepEqual(parseRange("7"), { low: 7, high: 7 });
	assert.deepEqual(parseRange("100:1K"), { low: 100, high: 1024 });
	for (const text of ["0", "5:4", "1:2:3", ":", "a:b"])
		assert.throws(() => parseRange(text), {
			code: "commander.invalidArgument",
		});
	assert.deepEqual(parseIntegers("1, 2", [0]), [0, 1, 2]);
});

test("random numbers are the seed's, and reach both ends of their range", () => {
	const draw = (seed: number) => {
		const random = createRandom(seed);
		return Array.from({ length: 2000 }, () => random(3, 7));
	};
	assert.deepEqual(draw(5), draw(5));
	assert.notDeepEqual(draw(5), draw(6));
	assert.deepEqual([...new Set(draw(5))].sort(), [3, 4, 5, 6, 7]);
});

test("every engine option is a flag of every command with an engine, and every choice is one the engine takes", () => {
	for (const key of Object.keys(ENGINE_DEFAULTS))
		for (const command of withEngine) {
			const has = command.options.some((o) => o.long === `--${kebab(key)}`);
			assert.ok(has, `${command.name()} has --${kebab(key)}`);
		}
	for (const [key, { choices = [] }] of Object.entries(ENGINE_FLAGS))
		for (const choice of choices) resolveEngineConfig({ [key]: choice });
});

test("every command's help has examples that begin like the command", () => {
	assert.deepEqual(commands.map(fullName), [
		"generate",
		"chat",
		"serve",
		"run-batch",
		"worker",
		"job status",
		"job cancel",
		"download",
		"inspect",
		"bench throughput",
		"bench latency",
		"bench serve",
		"bench kernels",
	]);
	for (const command of commands) {
		let help = "";
		command.configureOutput({ writeOut: (text) => (help += text) });
		command.outputHelp();
		assert.match(help, /Examples:\n {2}.*nano-vllm/, command.name());
		if (withEngine.includes(command)) {
			assert.match(help, /--\[no-\]wasm-revectorize/);
			assert.match(help, /--model <path>/);
		}
		assert.ok(help.split("\n").every((line) => line.length <= 130));
	}
});

test("messages name options as the command line does", () => {
	const message =
		"maxModelLen must be less than numTokens, see enablePrefixCaching.";
	assert.equal(
		inFlags(message, [ENGINE_FLAGS]),
		"--max-model-len must be less than numTokens, see --enable-prefix-caching.",
	);
});
