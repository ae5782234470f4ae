/** Inspector and playground over a server, which sends the page too: one that shows its events, and one that does not. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import type { LLM } from "../../src/index.ts";
import type { ServerOptions } from "../../src/server/options.ts";
import type { WebFiles } from "../../src/server/web-app.ts";
import { MAX_AT_A_SERVER } from "../../web/src/playground/run.ts";
import { launchChromium } from "../browser/chromium.ts";
import { browserOrReason } from "../browser/page.ts";
import { loadDemo, serve } from "../server/serving.ts";
import { openApp } from "./app-page.ts";
import { type BuiltApp, buildApp } from "./site.ts";

const browser = await browserOrReason(() => launchChromium());
const skip = typeof browser === "string" ? `no browser: ${browser}` : false;
const TYPES: Readonly<Record<string, string>> = {
	html: "text/html",
	js: "text/javascript",
	css: "text/css",
	svg: "image/svg+xml",
};

describe("inspector and playground over a server", { skip }, () => {
	let app: BuiltApp;
	let llm: LLM;
	before(async () => {
		app = await buildApp();
		llm = await loadDemo();
	});
	after(() => (browser as Browser).close());

	const webFiles: WebFiles = async (path) => {
		const content = app.get(path);
		if (content === undefined) return null;
		const type = TYPES[path.split(".").at(-1) ?? ""];
		const body = Uint8Array.from(Buffer.from(content));
		return { body, type: type ?? "application/octet-stream" };
	};
	async function open(
		t: { after(end: () => Promise<void>): void },
		hash: string,
		options: Partial<ServerOptions>,
	): Promise<Page> {
		const { url } = await serve(llm, { webFiles, ...options });
		const opened = await openApp(browser as Browser, `${url}/`, hash, "server");
		t.after(() => opened.close());
		return opened.page;
	}

	test("the inspector's numbers are the server's, and its engine is held from here", async (t) => {
		const page = await open(t, "#/inspector", {
			enableInspector: true,
			enableInspectorControl: true,
		});
		const step = page.locator('[data-figure="step"] dd');
		const runButton = page.getByRole("button", { name: /^Run 12/ });
		await runButton.click();
		await runButton.waitFor();
		await page.waitForTimeout(600);
		const figure = async (id: string) => {
			const text = await page.locator(`[data-figure="${id}"] dd`).innerText();
			return Number(/[\d,.]+/.exec(text)?.[0].replaceAll(",", ""));
		};
		const stats = llm.stats();
		assert.ok(stats.numSteps > 40);
		assert.equal(await figure("step"), stats.numSteps);
		assert.equal(await figure("prompt-tokens"), stats.numPromptTokens);
		assert.equal(await figure("output-tokens"), stats.numGenerationTokens);

		await page.getByRole("button", { name: "Pause engine" }).click();
		await page.getByRole("button", { name: "Resume engine" }).waitFor();
		await runButton.click();
		for (
			let i = 0;
			llm.stats().numRequestsWaiting < MAX_AT_A_SERVER && i < 200;
			i++
		)
			await page.waitForTimeout(20);
		await page.getByRole("button", { name: "One step", exact: true }).click();
		await page.waitForFunction(
			([element, before]) =>
				Number(element?.textContent?.replaceAll(",", "")) === before + 1,
			[await step.elementHandle(), stats.numSteps] as const,
		);
		assert.equal(llm.stats().numSteps, stats.numSteps + 1);
		await page.getByRole("button", { name: "Resume engine" }).click();
		await runButton.waitFor();
	});

	test("the playground fires prompts at a server whose settings are its own", async (t) => {
		const page = await open(t, "#/playground", { enableInspector: true });
		await page.getByText("which a server does not allow from here").waitFor();
		assert.ok(
			await page.getByRole("button", { name: "Why batching" }).isDisabled(),
		);
		assert.ok(await page.getByLabel("Token budget of a step").isDisabled());
		await page.getByLabel("Prompts", { exact: true }).fill("5");
		const before = llm.stats();
		await page.getByRole("button", { name: "Run", exact: true }).click();
		const cell = (name: string) => page.locator(`[data-figure="${name}"] dd`);
		await cell("Steps").waitFor();
		const after = llm.stats();
		assert.equal(
			await cell("Steps").innerText(),
			String(after.numSteps - before.numSteps),
		);
		assert.equal(
			await cell("Output tokens").innerText(),
			String(after.numGenerationTokens - before.numGenerationTokens),
		);
	});

	test("a server that shows no events says so, and prompts are measured all the same", async (t) => {
		const page = await open(t, "#/inspector", {});
		const alert = page.getByRole("alert");
		await alert.waitFor();
		assert.match(await alert.innerText(), /--enable-inspector/);
		await page.getByRole("link", { name: "Playground" }).click();
		await page.getByLabel("Prompts", { exact: true }).fill("3");
		await page.getByRole("button", { name: "Run", exact: true }).click();
		const cell = (name: string) => page.locator(`[data-figure="${name}"] dd`);
		await cell("Throughput").waitFor();
		assert.match(await cell("Throughput").innerText(), /tok\/s/);
		assert.equal(await cell("Steps").innerText(), "not shown");
	});
});
