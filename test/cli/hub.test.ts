/** download and inspect as processes, with a hub of our own. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Inspection } from "../../src/inspect/inspect.ts";
import { COMMIT, randomBytes } from "../support/hub-case.ts";
import { etagOf, startHub } from "../support/hub-server.ts";
import { writeSafetensors } from "../support/safetensors-writer.ts";
import { json, TEXT_CONFIG, textFiles } from "../support/text-model.ts";
import { CHECKPOINT, run, start, temporaryFolder } from "./command-line.ts";

const server = await startHub();
const tiny = await textFiles();
server.repos.set("acme/tiny", { commit: COMMIT, files: tiny });
server.repos.set("acme/tiny-GGUF", {
	commit: COMMIT,
	files: new Map([
		["tiny-Q8_0.gguf", randomBytes(1000, 1)],
		["tiny-Q4_K_M.gguf", randomBytes(1000, 2)],
	]),
});
server.repos.set("acme/strange", {
	commit: COMMIT,
	files: new Map([
		[
			"config.json",
			json({ ...TEXT_CONFIG, architectures: ["MambaForCausalLM"] }),
		],
		[
			"model.safetensors",
			writeSafetensors({
				a: { dtype: "bf16", shape: [4, 64], data: new Float32Array(256) },
				b: { dtype: "f32", shape: [64], data: new Float32Array(64) },
			}),
		],
	]),
});

const pause = (milliseconds: number) =>
	new Promise((done) => setTimeout(done, milliseconds));

const environment = () => ({
	HF_ENDPOINT: server.endpoint,
	HF_HOME: temporaryFolder(),
	HF_TOKEN: "",
	HF_HUB_OFFLINE: "",
});

test("download prints the folder, or the one file; a second time nothing is fetched", async () => {
	const env = environment();
	const first = await run(["download", "acme/tiny"], "", env);
	const root = `${env.HF_HOME}/hub/models--acme--tiny`;
	assert.deepEqual(
		[first.code, first.stdout, first.stderr],
		[0, `${root}/snapshots/${COMMIT}\n`, ""],
	);
	const config = readFileSync(join(first.stdout.trim(), "config.json"));
	assert.deepEqual(JSON.parse(config.toString()), TEXT_CONFIG);

	const again = await run(["download", "acme/tiny@main"], "", env);
	assert.equal(again.stdout, first.stdout);
	assert.match(again.stderr, /all of it was here already/);

	const gguf = await run(["download", "acme/tiny-GGUF:Q4_K_M"], "", env);
	assert.match(gguf.stdout, /\/tiny-Q4_K_M\.gguf\n$/);
	assert.deepEqual(
		new Uint8Array(readFileSync(gguf.stdout.trim())),
		randomBytes(1000, 2),
	);
	const some = await run(
		["download", "acme/tiny-GGUF", "--include", "*Q8*"],
		"",
		env,
	);
	assert.match(some.stdout, /\/tiny-Q8_0\.gguf\n$/);
});

const TRANSFER = { HF_HUB_DOWNLOAD_TIMEOUT: "5" };
const weights = tiny.get("model.safetensors") ?? new Uint8Array();
const weightRequests = () =>
	server.seen.filter(({ path }) =>
		path.endsWith(etagOf("model.safetensors", weights)),
	);
const weightFile = (stdout: string) =>
	new Uint8Array(readFileSync(join(stdout.trim(), "model.safetensors")));

test("two processes that want the same model share its download", async () => {
	const env = { ...environment(), ...TRANSFER };
	server.seen.length = 0;
	server.trouble = ({ host, range }) =>
		host === "cdn" && !range ? { pieces: 20, pauseMs: 60 } : null;
	const first = start(["download", "acme/tiny"], env);
	while (weightRequests().length === 0) await pause(10);
	const both = await Promise.all([
		first.ended,
		run(["download", "acme/tiny"], "", env),
	]);
	server.trouble = () => null;
	for (const { code, stdout, stderr } of both) {
		assert.equal(code, 0, stderr);
		assert.deepEqual(weightFile(stdout), weights);
	}
	assert.equal(weightRequests().length, 1);
});

test("Ctrl-C ends a download with 130; the next goes on where it ended", async () => {
	const env = { ...environment(), ...TRANSFER };
	server.seen.length = 0;
	server.trouble = ({ host, path }) =>
		host === "cdn" && path.endsWith(etagOf("model.safetensors", weights))
			? { hangAfter: 30_000 }
			: null;
	const cut = start(["download", "acme/tiny"], env);
	while (!weightRequests().some(({ sent }) => sent === 30_000)) await pause(10);
	await pause(100);
	cut.process.kill("SIGINT");
	const { code, stdout } = await cut.ended;
	assert.deepEqual([code, stdout], [130, ""]);
	server.trouble = () => null;
	server.seen.length = 0;
	const whole = await run(["download", "acme/tiny"], "", env);
	assert.deepEqual(weightFile(whole.stdout), weights);
	assert.deepEqual(
		weightRequests().map(({ range }) => range),
		["bytes=30000-"],
	);
});

test("download says what is wrong", async () => {
	const cases: [string[], RegExp][] = [
		[
			["acme/nothing"],
			/^error \[model_not_found\]: .*has no model acme\/nothing/,
		],
		[
			["acme/tiny", "--revision", "v9"],
			/^error \[model_not_found\]: acme\/tiny has no revision "v9"/,
		],
		[
			["acme/tiny-GGUF"],
			/^error \[model_not_found\]: .*several GGUF files.*acme\/tiny-GGUF:Q8_0\.\n$/,
		],
		[["tiny"], /^error \[invalid_option\]: wanted a model of the hub/],
	];
	for (const [args, message] of cases) {
		const { code, stdout, stderr } = await run(
			["download", ...args],
			"",
			environment(),
		);
		assert.match(stderr, message);
		assert.deepEqual([code, stdout], [1, ""]);
	}
});

test("chat takes an id", async () => {
	const args = [
		"chat",
		"acme/tiny",
		"--device",
		"reference",
		"--max-tokens",
		"3",
	];
	const { code, stderr } = await run(args, "hello\n", environment());
	assert.equal(code, 0, stderr);
	assert.match(stderr, /^tiny · Qwen3, \S+ parameters · on reference/);
});

test("inspect reads headers by ranges, and downloads no weights", async () => {
	server.seen.length = 0;
	const env = environment();
	const { code, stdout } = await run(["inspect", "acme/tiny"], "", env);
	assert.equal(code, 0);
	assert.match(
		stdout,
		/^acme\/tiny\n {2}architecture +Qwen3ForCausalLM · 18.5K parameters · 2 layers · 256 tokens of context\n/,
	);
	assert.match(stdout, /\n {2}supported +yes\n/);
	assert.match(stdout, /\n {2}checkpoint +73\.9 kB · 24 F32 tensors\n/);
	assert.match(
		stdout,
		/\n {2}on cpu, q8_0 +fits · room for [\d,]+ tokens of KV\n/,
	);
	const weights = server.seen.filter(({ host }) => host === "cdn");
	const sent = weights.reduce((sum, request) => sum + request.sent, 0);
	assert.ok(weights.length > 0 && weights.every(({ range }) => range));
	assert.ok(
		sent < (tiny.get("model.safetensors")?.length ?? 0) / 10,
		`${sent}`,
	);
});

async function inspect(model: string): Promise<Inspection> {
	const { code, stdout, stderr } = await run(
		["inspect", model, "--json"],
		"",
		environment(),
	);
	assert.equal(code, 0, stderr);
	return JSON.parse(stdout);
}

test("inspect --json gives numbers that add up", async () => {
	const found = await inspect("acme/tiny");
	const { numParameters, kvBytesPerToken, tensors, weightBytes } = found;
	// f32 as stored: four bytes a parameter.
	assert.deepEqual(tensors, {
		F32: { count: 24, bytes: 4 * (numParameters ?? 0) },
	});
	// 2 layers × (key, value) × 1 head × 8 × 2 bytes
	assert.equal(kvBytesPerToken, 64);
	assert.ok(weightBytes && weightBytes.f16 > weightBytes.q8_0);
	assert.ok(weightBytes.q8_0 > weightBytes.q4_0);
	assert.ok((found.memory?.availableBytes ?? 0) > 0);
	for (const { device, fits, kvTokens } of found.fits)
		if (device === "cpu") assert.ok(fits && (kvTokens ?? 0) > 1e6);
});

test("a model that is not supported: why, and what is known", async () => {
	const found = await inspect("acme/strange");
	assert.equal(found.architecture, "MambaForCausalLM");
	assert.match(
		found.unsupported ?? "",
		/architecture "MambaForCausalLM" is not supported/,
	);
	assert.deepEqual(found.tensors, {
		BF16: { count: 1, bytes: 512 },
		F32: { count: 1, bytes: 256 },
	});
	assert.equal(found.numParameters, 320);
	assert.deepEqual(found.weightBytes, { f16: 768, q8_0: 528, q4_0: 400 });
	assert.deepEqual(found.fits, []);
});

test("a folder on this disk, and a model too large for it", async () => {
	const local = await inspect(CHECKPOINT);
	assert.equal(local.unsupported, null);
	const large = await inspect("bench/configs/qwen3-8b");
	assert.ok((large.numParameters ?? 0) > 8e9);
	assert.equal(large.tensors, null);
	const f16 = large.fits.find(({ device }) => device === "cpu");
	assert.equal(f16?.fits, false);
	assert.match(
		f16?.reason ?? "",
		/^weights and step buffers take 1\d,\d+ MiB, /,
	);
});
