/** The web app's files at /: what is sent with them, and that nothing else of the disk is. */
import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { before, test } from "node:test";
import { chosenWebFiles, webFiles } from "../../src/cli/web-files.ts";
import type { LLM } from "../../src/index.ts";
import {
	DUMMY,
	start,
	temporaryFolder,
	writeModel,
} from "../cli/command-line.ts";
import { loadDemo, post, serve } from "./serving.ts";

const root = temporaryFolder();
const folder = join(root, "web");
const SCRIPT = "assets/index-Bx3k9fQ2.js";
let llm: LLM;
before(async () => {
	mkdirSync(join(folder, "assets"), { recursive: true });
	writeFileSync(join(root, "secret.txt"), "secret");
	symlinkSync(join(root, "secret.txt"), join(folder, "linked.txt"));
	writeFileSync(join(folder, "index.html"), "<!doctype html><p>page");
	writeFileSync(join(folder, SCRIPT), "export {};");
	writeFileSync(join(folder, "assets/kernels.wasm"), "\0asm");
	llm = await loadDemo();
});

const served = () =>
	serve(llm, { webFiles: webFiles(folder), apiKey: ["key"] });

test("the page is open, isolated and asked about again; its hashed files are kept", async () => {
	const { url } = await served();
	for (const path of ["/", "/index.html"]) {
		const page = await fetch(url + path);
		assert.equal(page.status, 200);
		assert.equal(await page.text(), "<!doctype html><p>page");
		const header = (name: string) => page.headers.get(name) ?? "";
		assert.match(header("content-type"), /^text\/html/);
		assert.equal(header("cross-origin-opener-policy"), "same-origin");
		assert.equal(header("cross-origin-embedder-policy"), "require-corp");
		assert.match(header("content-security-policy"), /frame-ancestors 'none'/);
		assert.equal(header("x-content-type-options"), "nosniff");
		assert.equal(header("cache-control"), "no-cache");
		const again = await fetch(url + path, {
			headers: { "if-none-match": `"other", W/${header("etag")}` },
		});
		assert.equal(again.status, 304);
		assert.equal(await again.text(), "");
	}
	const script = await fetch(`${url}/${SCRIPT}`);
	assert.match(script.headers.get("content-type") ?? "", /^text\/javascript/);
	assert.match(script.headers.get("cache-control") ?? "", /immutable/);
	const embedder = script.headers.get("cross-origin-embedder-policy");
	assert.equal(embedder, "require-corp", "workers want it too");
	const kernels = await fetch(`${url}/assets/kernels.wasm`);
	assert.equal(kernels.headers.get("content-type"), "application/wasm");
	assert.equal(kernels.headers.get("cache-control"), "no-cache");
	const head = await fetch(`${url}/${SCRIPT}`, { method: "HEAD" });
	assert.equal(head.headers.get("content-length"), "10");
	assert.equal(await head.text(), "");
});

/** As it is: fetch would resolve the dots itself. */
function statusOf(base: string, path: string): Promise<number> {
	const { hostname, port } = new URL(base);
	return new Promise((resolve, reject) => {
		const asking = request({ hostname, port, path }, (response) => {
			response.resume();
			resolve(response.statusCode ?? 0);
		});
		asking.on("error", reject).end();
	});
}

test("nothing but the app's files is served", async () => {
	const { url } = await served();
	for (const path of [
		"/../secret.txt",
		"/assets/../../secret.txt",
		"/%2e%2e/secret.txt",
		"/..%2fsecret.txt",
		"/..%5csecret.txt",
		"/assets/%2e%2e%2f%2e%2e%2fsecret.txt",
		"//secret.txt",
		`/${join(root, "secret.txt")}`,
		"/linked.txt",
		"/assets",
		"/assets/",
		"/%00index.html",
		"/%ff",
		"/nothing.js",
		"/__proto__",
	])
		assert.ok([400, 404].includes(await statusOf(url, path)), path);
	assert.equal((await post(url, "{}")).status, 404);
});

test("the API comes first, and wants its key", async () => {
	writeFileSync(join(folder, "health"), "not this");
	const { url } = await served();
	assert.equal(await (await fetch(`${url}/health`)).text(), "");
	assert.equal((await fetch(`${url}/v1/models`)).status, 401);
});

test("without an app / is nothing", async () => {
	const { url } = await serve(llm);
	assert.equal((await fetch(url)).status, 404);
	assert.equal(chosenWebFiles({ web: false }), null);
	assert.throws(() => chosenWebFiles({ web: root }), {
		code: "invalid_option",
		message: /no index\.html/,
	});
	assert.ok(chosenWebFiles({ web: folder }) !== null);
});

test("serve: --web and --enable-inspector, and a hint where they are", async () => {
	const model = writeModel(temporaryFolder());
	const server = start([
		"serve",
		model,
		...DUMMY,
		"--port=0",
		"--web",
		folder,
		"--enable-inspector",
	]);
	await server.until(/listening on \S+\n/);
	const [, url] = /listening on (\S+)\n/.exec(server.stdout()) ?? [];
	const page = await fetch(url);
	assert.equal(await page.text(), "<!doctype html><p>page");
	const events = await fetch(`${url}/inspector/events`);
	const reader = events.body?.getReader();
	const first = new TextDecoder().decode((await reader?.read())?.value);
	assert.match(first, /^data: \[\{"type":"snapshot"/);
	assert.equal((await post(`${url}/inspector/pause`, "")).status, 403);
	// A page that watches does not keep the server from ending.
	server.process.kill("SIGTERM");
	assert.equal((await reader?.read())?.done, true);
	const { code, stderr } = await server.ended;
	assert.equal(code, 0);
	assert.match(stderr, new RegExp(`web app at ${url}/`));
	assert.match(stderr, /engine live at/);
});

test("serve: a folder without an app is refused before a model is loaded", async () => {
	const { code, stderr } = await start([
		"serve",
		"no-such-model",
		"--web",
		root,
	]).ended;
	assert.equal(code, 1);
	assert.match(stderr, /--web: there is no index\.html/);
});
