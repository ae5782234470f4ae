/** What goes wrong is told in one line on stderr, with exit code 1. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CHECKPOINT, run } from "./command-line.ts";

const cases: [string, string[], RegExp][] = [
	[
		"an unknown command",
		["serv"],
		/^error \[invalid_option\]: unknown command 'serv'/,
	],
	[
		"an unknown flag",
		["generate", "--devise", "cpu"],
		/unknown option '--devise' \(Did you mean --device\?\)/,
	],
	[
		"a value that is no choice",
		["chat", "--device", "tpu"],
		/Allowed choices are auto, webgpu/,
	],
	[
		"a value that is no number",
		["bench", "latency", "--batch-size", "two"],
		/'two' is invalid\. Wanted a whole number/,
	],
	[
		"an engine option out of range",
		["generate", "hi", "--max-model-len", "1"],
		/^error \[invalid_option\]: --max-model-len must be/,
	],
	[
		"a sampling parameter out of range",
		["chat", "--top-p", "0"],
		/^error \[invalid_sampling_params\]: --top-p must be/,
	],
	[
		"no such model",
		["generate", "hi", "-m", "no/such/model"],
		/^error \[model_not_found\]: .*no\/such\/model/,
	],
	[
		"two models",
		["chat", CHECKPOINT, "-m", "other"],
		/^error \[invalid_option\]: two models are named/,
	],
	[
		"a model without a tokenizer",
		["chat", CHECKPOINT],
		/^error \[invalid_tokenizer\]: .*no tokenizer\.json/,
	],
	[
		"no prompt",
		["generate", "-m", CHECKPOINT],
		/^error \[invalid_prompt\]: there is no prompt/,
	],
	[
		"a file that is not there",
		["generate", "--file", "nothing.txt"],
		/^error \[invalid_option\]: --file nothing\.txt could not be read \(ENOENT\)/,
	],
	[
		"--stream with two prompts",
		["generate", "a", "b", "--stream"],
		/^error \[invalid_option\]: --stream/,
	],
	[
		"lengths beyond the model",
		[
			"bench",
			"latency",
			CHECKPOINT,
			"--input-len",
			"1k",
			"--output-len",
			"100",
		],
		/the longest request has 1100 tokens, --max-model-len is 1024/,
	],
	[
		"a workload of another form",
		["bench", "throughput", CHECKPOINT, "--workload", "package.json"],
		/wanted \{"requests"/,
	],
];

describe("one line, exit code 1", { concurrency: 2 }, () => {
	for (const [what, args, message] of cases)
		test(what, async () => {
			const { code, stdout, stderr } = await run(args);
			const lines = stderr.trimEnd().split("\n");
			assert.match(lines.at(-1) ?? "", message);
			assert.ok(lines.filter((line) => line.startsWith("error")).length === 1);
			assert.ok(lines.length <= 2, stderr); // the model's line may stand before
			assert.equal(stdout, "");
			assert.equal(code, 1);
		});
});

test("NANO_VLLM_DEBUG=1 adds the stack", async () => {
	const { stderr } = await run(["chat", "--top-p", "0"], "", {
		NANO_VLLM_DEBUG: "1",
	});
	assert.match(stderr, /\n {4}at /);
});

test("--version and --help are no errors", async () => {
	const [version, help] = await Promise.all([run(["-V"]), run(["--help"])]);
	assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
	assert.match(help.stdout, /generate[\s\S]*chat[\s\S]*bench/);
	assert.deepEqual([version.code, help.code], [0, 0]);
});
