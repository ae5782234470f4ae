/** The package's files for browsers as they lie in dist/page, served by a plain web server without a bundler or an import map, and bundled by Vite. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Browser } from "playwright-core";
import { build } from "vite";
import { buildPage } from "../../scripts/build-browser.ts";
import type { SamplingParamsInput } from "../../src/index.ts";
import { launchChromium } from "./chromium.ts";
import { browserOrReason } from "./page.ts";
import { type Site, serve } from "./server.ts";
import { DEMO_MODEL, inFolder } from "./site.ts";

/** What a page does with them; `model` is served beside it. */
const SCRIPT = `
import { WorkerLLM } from "./browser.js";
globalThis.ask = async (params) => {
	const url = new URL("/model", location.href).href;
	await using llm = await WorkerLLM.load(url, { device: "cpu", threads: 2 });
	const [{ outputs: [{ text, tokenIds }] }] = await llm.generate("A word:", params);
	return { reason: llm.deviceReason, numTokens: tokenIds.length, text };
};`;
const HTML = `<!doctype html><title>plain</title><script type="module" src="./main.js"></script>`;

const browser = await browserOrReason(launchChromium);
const skip = typeof browser === "string" && `no browser: ${browser}`;
after(async () => {
	if (typeof browser !== "string") await browser.close();
});

interface Answer {
	readonly reason: string;
	readonly numTokens: number;
	readonly text: string;
}

async function ask(
	site: Pick<Site, "files" | "folders">,
	path: string,
	params: SamplingParamsInput,
): Promise<Answer> {
	const folders = { ...site.folders, model: DEMO_MODEL };
	const { origin, close } = await serve({ ...site, folders, isolated: true });
	const page = await (browser as Browser).newPage();
	try {
		await page.goto(`${origin}/${path}`);
		await page.waitForFunction(() => "ask" in globalThis);
		type Asking = { ask(params: SamplingParamsInput): Promise<Answer> };
		return await page.evaluate(
			(params) => (globalThis as unknown as Asking).ask(params),
			params,
		);
	} finally {
		await page.close();
		await close();
	}
}

test("plain files: loaded, answering, held to a form; nothing but each other is imported", {
	skip,
	timeout: 60_000,
}, async () => {
	const built = await buildPage();
	for (const [name, contents] of built) {
		if (name === "web-xgrammar.js") continue;
		const text = new TextDecoder().decode(contents);
		const imports = text.matchAll(/\b(?:from|import)\s*\(?\s*"([^"]+)"/g);
		for (const [, specifier] of imports)
			assert.ok(
				specifier.startsWith("./") && built.has(specifier.slice(2)),
				`${name} imports ${specifier}`,
			);
	}
	const files = new Map<string, Uint8Array | string>(built);
	files.set("main.js", SCRIPT).set("page.html", HTML);
	const params = { structuredOutputs: { regex: "[a-z]{3}" } };
	const got = await ask({ files, folders: {} }, "page.html", params);
	assert.match(got.reason, /2 threads/);
	assert.match(got.text, /^[a-z]{3}$/);
});

test("Vite finds the workers in them", { skip, timeout: 60_000 }, async () => {
	const files = new Map<string, Uint8Array | string>(await buildPage());
	files.set("main.js", SCRIPT).set("index.html", HTML);
	await inFolder(files, async (root) => {
		const outDir = join(root, "out");
		await build({
			root,
			base: "./",
			configFile: false,
			logLevel: "silent",
			worker: { format: "es" },
			build: { outDir, target: "es2022" },
		});
		const site = { files: new Map(), folders: { app: outDir } };
		const got = await ask(site, "app/index.html", { maxTokens: 3 });
		assert.match(got.reason, /2 threads/);
		assert.equal(got.numTokens, 3);
	});
});
