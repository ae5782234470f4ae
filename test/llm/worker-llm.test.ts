/** The engine in a worker thread of Node: files and errors that cross, streams that are left, a thread that does not hold the process. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { WorkerLLM } from "../../src/browser.ts";
import { fileMap, LLM, NanoVllmError } from "../../src/index.ts";

const root = new URL("../../", import.meta.url);
const folder = fileURLToPath(new URL("demo-model", root));
const NAMES = [
	"config.json",
	"tokenizer.json",
	"tokenizer_config.json",
	"model.safetensors",
];
const LOAD = { device: "cpu", threads: 1 } as const;

test("files in memory cross; answers, logprobs and errors are LLM's", async () => {
	const contents = new Map(
		NAMES.map((name) => [name, readFileSync(`${folder}/${name}`)]),
	);
	const files = fileMap("demo", contents);
	await using llm = await LLM.load(files, LOAD);
	await using worker = await WorkerLLM.load(files, LOAD);
	const params = { temperature: 0, maxTokens: 6, logprobs: 2, n: 2 };
	const prompts = ["Once", { promptTokenIds: [1, 2, 3] }];
	const plain = ({
		outputs,
		prompt,
	}: Awaited<ReturnType<LLM["generate"]>>[0]) => ({ outputs, prompt });
	const wanted = (await llm.generate(prompts, params)).map(plain);
	assert.deepEqual((await worker.generate(prompts, params)).map(plain), wanted);
	await assert.rejects(
		worker.generate("Once", { temperature: -1 }),
		(error) => {
			assert.ok(error instanceof NanoVllmError);
			assert.equal(error.code, "invalid_sampling_params");
			assert.match(error.stack ?? "", /config\.ts/, "where it happened");
			return true;
		},
	);
	await assert.rejects(worker.loadLoraAdapter("a", "b"), {
		code: "invalid_option",
	});
	assert.deepEqual(await worker.listLoraAdapters(), []);
});

test("files that only this thread can read are refused", async () => {
	const { contents, ...files } = fileMap("demo", new Map());
	assert.equal(contents.size, 0);
	await assert.rejects(WorkerLLM.load(files, LOAD), {
		code: "invalid_option",
		message: /fileMap or droppedFiles/,
	});
});

test("an idle worker does not keep the process", {
	timeout: 30_000,
}, async () => {
	const where = await mkdtemp(join(tmpdir(), "nano-vllm-idle-"));
	try {
		const script = join(where, "idle.ts");
		const library = new URL("src/browser.ts", root).href;
		await writeFile(
			script,
			`import { WorkerLLM } from ${JSON.stringify(library)};
			const llm = await WorkerLLM.load(${JSON.stringify(folder)}, ${JSON.stringify(LOAD)});
			const [{ outputs }] = await llm.generate("Once", { maxTokens: 2 });
			console.log(outputs[0].tokenIds.length);`,
		);
		const { stdout } = await promisify(execFile)(process.execPath, [script]);
		assert.equal(stdout.trim(), "2");
	} finally {
		await rm(where, { recursive: true });
	}
});
