/** LoRA adapters from the command line: named, chosen, mixed in one batch. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkpointTensors } from "../../src/backends/program.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { ATTENTION, MLP, makeAdapter } from "../support/lora-adapter.ts";
import {
	CONFIG,
	DUMMY,
	run,
	start,
	temporaryFolder,
	writeModel,
} from "./command-line.ts";

const folder = temporaryFolder();
const model = writeModel(folder);
const config = parseModelConfig({ ...CONFIG, max_position_embeddings: 512 });
const base = Object.fromEntries(
	checkpointTensors(buildProgram(config)).map(({ name, shape }) => [
		name,
		{ dtype: "f32", shape, data: new Float32Array() } as const,
	]),
);
const modules = [1, 2].map((seed) => {
	const path = join(folder, `adapter-${seed}`);
	mkdirSync(path);
	const { files } = makeAdapter(base, {
		modules: [...ATTENTION, ...MLP],
		rank: 4,
		alpha: 40,
		seed,
	});
	for (const [name, bytes] of files) writeFileSync(join(path, name), bytes);
	return ["--lora-modules", `a${seed}=${path}`];
});

const flags = [...DUMMY, "--ignore-eos", "--temperature", "0"];
const generate = ["generate", "-m", model, ...flags, "--max-tokens", "6"];

async function texts(args: readonly string[], input = ""): Promise<string[]> {
	const json = [...generate, "--json", ...args];
	const { code, stdout, stderr } = await run(json, input);
	assert.equal(code, 0, stderr);
	const lines = stdout.trimEnd().split("\n");
	return lines.map((line) => JSON.parse(line).outputs[0].text);
}

test("the first adapter, one by name, and several in one batch", async () => {
	const [[plain], [first], [second], mixed] = await Promise.all([
		texts(["one"]),
		texts(["one", ...modules[0]]),
		texts(["one", ...modules.flat(), "--lora", "a2"]),
		texts(
			modules.flat(),
			["a1", "a2"]
				.map((lora) => JSON.stringify({ prompt: "one", lora }))
				.join("\n"),
		),
	]);
	assert.equal(new Set([plain, first, second]).size, 3);
	assert.deepEqual(mixed, [first, second]);
	const { stdout } = await run([...generate, "--stream", "one", ...modules[0]]);
	assert.ok(stdout.includes(first.trim()));
	const chat = ["chat", model, ...flags, "--max-tokens", "6"];
	const [said, other] = await Promise.all([
		run(chat, "one\n"),
		run([...chat, ...modules[0]], "one\n"),
	]);
	assert.equal(other.code, 0, other.stderr);
	assert.notEqual(said.stdout, other.stdout);
});

test("serve: adapters are models; where some are named there is room for them", async () => {
	const running = start([
		...["serve", model, ...DUMMY, "--port", "0"],
		...modules.flat(),
	]);
	await running.until(/listening on \S+\n/);
	const [, url] = /listening on (\S+)/.exec(running.stdout()) ?? [];
	const ask = async (name: string) => {
		const response = await fetch(`${url}/v1/completions`, {
			method: "POST",
			headers: { "content-type": "application/json" },
			body: JSON.stringify({
				model: name,
				prompt: "one",
				max_tokens: 6,
				temperature: 0,
				ignore_eos: true,
			}),
		});
		const { choices } = (await response.json()) as {
			choices: { text: string }[];
		};
		return choices[0].text;
	};
	const said = await Promise.all(["a1", "a2"].map(ask));
	assert.deepEqual(said, [
		(await texts(["one", ...modules[0]]))[0],
		(await texts(["one", ...modules[1]]))[0],
	]);
	running.process.kill("SIGTERM");
	assert.equal((await running.ended).code, 0);
});

test("adapters that are not there are told in a line", async () => {
	for (const [args, message] of [
		[["--lora-modules", "a1"], /wants name=path, got "a1"/],
		[["--lora", "b"], /no adapter "b".*--lora-modules b=PATH/],
		[
			["--lora-modules", "b=/no/such"],
			/adapter b: \/no\/such.*save_pretrained/,
		],
		[
			[...modules[0], "--max-lora-rank", "2"],
			/rank is 4, the engine has room for 2/,
		],
	] as const) {
		const { code, stderr } = await run([...generate, "one", ...args]);
		assert.equal(code, 1);
		assert.match(stderr, message);
	}
});
