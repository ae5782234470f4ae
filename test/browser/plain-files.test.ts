/** The package's files for browsers as they lie in dist/page, served by a plain web server: no bundler, no import map. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Browser } from "playwright-core";
import { buildPage } from "../../scripts/build-browser.ts";
import { launchChromium } from "./chromium.ts";
import { browserOrReason } from "./page.ts";
import { serve } from "./server.ts";
import { DEMO_MODEL } from "./site.ts";

const PAGE = `<!doctype html><title>plain</title><script type="module">
import { WorkerLLM } from "./browser.js";
globalThis.answer = (async () => {
	const llm = await WorkerLLM.load(new URL("model", location.href).href, { device: "cpu", threads: 2 });
	const [free, bound] = await llm.generate(
		["Once upon a time", "A word:"],
		[{ temperature: 0, maxTokens: 4 }, { structuredOutputs: { regex: "[a-z]{3}" } }],
	);
	await llm.close();
	return [llm.deviceReason, free.outputs[0].tokenIds.length, bound.outputs[0].text];
})();
</script>`;

const browser = await browserOrReason(launchChromium);
const skip = typeof browser === "string" && `no browser: ${browser}`;
after(async () => {
	if (typeof browser !== "string") await browser.close();
});

test("plain files: loaded, batched, held to a form; nothing but each other is imported", {
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
	files.set("page.html", PAGE);
	const folders = { model: DEMO_MODEL };
	const site = await serve({ files, folders, isolated: true });
	const page = await (browser as Browser).newPage();
	try {
		await page.goto(`${site.origin}/page.html`);
		type Answer = { answer: Promise<[string, number, string]> };
		const [reason, numTokens, word] = await page.evaluate(
			() => (globalThis as unknown as Answer).answer,
		);
		assert.match(reason, /2 threads/);
		assert.equal(numTokens, 4);
		assert.match(word, /^[a-z]{3}$/);
	} finally {
		await page.close();
		await site.close();
	}
});
