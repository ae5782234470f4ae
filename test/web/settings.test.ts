/** A reader's own files as the tab's model: chosen, kept, found again, deleted. The model has no chat template, so it continues texts. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { fileMap, LLM } from "../../src/index.ts";
import { launchChromium } from "../browser/chromium.ts";
import { browserOrReason, dropOn } from "../browser/page.ts";
import { inFolder } from "../browser/site.ts";
import { textGguf } from "../support/gguf-text-model.ts";
import { type OpenedPage, openPage, say, setSampling } from "./open.ts";
import { type AppSite, buildApp, serveApp } from "./site.ts";

const MODEL = join(import.meta.dirname, "../../demo-model");
const FILES = ["config.json", "tokenizer.json", "model.safetensors"];
const PROMPT = "Once upon a time, there was a rabbit named";

const GREEDY = { Temperature: "0", "Longest answer, tokens": "16" };

const browser = await browserOrReason(() => launchChromium());
const skip = typeof browser === "string" && `no browser: ${browser}`;
const limits = { skip, timeout: 120_000 };

let site: AppSite;
let opened: OpenedPage;
let page: Page;

before(async () => {
	if (skip) return;
	site = await serveApp(await buildApp());
	opened = await openPage(browser as Browser, `${site.url}#/settings`);
	page = opened.page;
});
after(async () => {
	if (typeof browser === "string") return;
	await opened.close();
	await site.close();
	await browser.close();
});

/** The bundled model without what makes it a chat's. */
async function plainModel() {
	const files = FILES.map((name) => join(MODEL, name));
	const buffers = await Promise.all(files.map((file) => readFile(file)));
	const path = join(MODEL, "tokenizer_config.json");
	const config = JSON.parse(await readFile(path, "utf8"));
	delete config.chat_template;
	return [
		...FILES.map((name, i) => ({ name, buffer: buffers[i] })),
		{
			name: "tokenizer_config.json",
			buffer: Buffer.from(JSON.stringify(config)),
		},
	].map((file) => ({ ...file, mimeType: "application/octet-stream" }));
}

async function choose(
	files: Awaited<ReturnType<typeof plainModel>>,
): Promise<void> {
	const choosing = page.waitForEvent("filechooser");
	await page.getByRole("button", { name: "Choose files" }).click();
	await (await choosing).setFiles(files);
}

test("files that are no model are refused in words", limits, async () => {
	await page.getByLabel("Files on this computer").check();
	const [config] = await plainModel();
	await choose([config]);
	assert.match(
		await page.getByRole("alert").innerText(),
		/wanted a folder.*config\.json/,
	);
	assert.ok(
		await page.getByRole("button", { name: "Load", exact: true }).isDisabled(),
	);
});

test(
	"a model from files, kept: it continues texts as in Node, and says why",
	limits,
	async () => {
		await choose(await plainModel());
		await page.getByLabel("Keep a copy").check();
		await page.getByRole("button", { name: "Load", exact: true }).click();
		await page.locator(".dot.ready").waitFor();
		await page.getByText("has no chat template").waitFor();
		await page.locator(".cached", { hasText: "15.0 MB" }).waitFor();
		await page.goto(`${site.url}#/chat`);
		await page.getByText("It continues the text you write").waitFor();
		await setSampling(page, GREEDY);
		const answer = await say(page, PROMPT);
		await using llm = await LLM.load(MODEL, { device: "cpu" });
		const params = { temperature: 0, maxTokens: 16 };
		const [{ outputs }] = await llm.generate(PROMPT, params);
		assert.equal(answer, outputs[0].text.trim());
	},
);

test(
	"kept, it is loaded after the page was closed, and by its button; deleted, it is gone",
	limits,
	async () => {
		await page.reload();
		await page.locator(".dot.ready").waitFor();
		await page.goto(`${site.url}#/settings`);
		await page.getByRole("button", { name: "Unload" }).click();
		await page.locator(".engine-chip", { hasText: "No model" }).waitFor();
		await page
			.locator(".cached")
			.getByRole("button", { name: /^Load/ })
			.click();
		await page.locator(".dot.ready").waitFor();
		await page
			.locator(".cached")
			.getByRole("button", { name: /^Delete/ })
			.click();
		await page
			.getByRole("dialog")
			.getByRole("button", { name: "Delete" })
			.click();
		await page.locator(".cached").waitFor({ state: "detached" });
	},
);

test(
	"a GGUF that is dropped on the page: it answers as in Node",
	limits,
	async () => {
		const name = "tiny.gguf";
		const gguf = await textGguf("q8_0");
		await page.getByLabel("Files on this computer").check();
		const field = page.getByLabel("Files of a model");
		await field.scrollIntoViewIfNeeded();
		const box = await field.boundingBox();
		assert.ok(box);
		const place = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
		await inFolder(new Map([[name, gguf]]), async (folder) => {
			await dropOn(page, [join(folder, name)], place);
			await field.getByText(name).waitFor();
			await page.getByRole("button", { name: "Load", exact: true }).click();
			await page.locator(".engine-chip", { hasText: name }).waitFor();
			await page.locator(".dot.ready").waitFor();
		});
		await page.goto(`${site.url}#/chat`);
		await page.getByRole("button", { name: "New conversation" }).click();
		await setSampling(page, GREEDY);
		const answer = await say(page, "Hello");
		const files = fileMap("tiny", new Map([[name, gguf]]));
		await using llm = await LLM.load(files, { device: "cpu" });
		const params = { temperature: 0, maxTokens: 16 };
		const question = { role: "user", content: "Hello" } as const;
		const [{ outputs }] = await llm.chat([question], params);
		assert.equal(answer, outputs[0].text.trim());
		await page.goto(`${site.url}#/settings`);
	},
);

test(
	"what cannot be loaded is told, and another model can be",
	limits,
	async () => {
		await page.getByLabel("From the web").check();
		await page.getByLabel("Name or address").fill(`${site.url}nothing-here`);
		await page.getByRole("button", { name: "Load", exact: true }).click();
		const trouble = page.getByRole("alert");
		await trouble.waitFor();
		assert.match(await trouble.innerText(), /nothing-here/);
		await page.getByLabel("The bundled model").check();
		await page.getByRole("button", { name: "Load", exact: true }).click();
		await page.locator(".dot.ready").waitFor();
		assert.equal(await trouble.count(), 0);
	},
);
