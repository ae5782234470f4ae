/** The chat over the bundled model in the tab, as a reader uses it. Node's cpu device says what the right answer is. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { LLM } from "../../src/index.ts";
import { launchChromium } from "../browser/chromium.ts";
import { browserOrReason } from "../browser/page.ts";
import {
	atFirstWords,
	lastAnswer,
	type OpenedPage,
	openPage,
	say,
	setSampling,
	startBundled,
	WEBGPU_FLAGS,
} from "./open.ts";
import { type AppSite, type BuiltApp, buildApp, serveApp } from "./site.ts";

const MODEL = fileURLToPath(new URL("../../demo-model", import.meta.url));
const QUESTION = "What is a KV cache?";
const GREEDY = { Temperature: "0", "Longest answer, tokens": "24" };

const browser = await browserOrReason(() => launchChromium(WEBGPU_FLAGS));
const skip = typeof browser === "string" && `no browser: ${browser}`;
const limits = { skip, timeout: 120_000 };

let app: BuiltApp;
let site: AppSite;
let opened: OpenedPage;
let page: Page;
let expected: string;

before(async () => {
	if (skip) return;
	app = await buildApp();
	site = await serveApp(app);
	opened = await openPage(browser as Browser, site.url, {
		permissions: ["clipboard-read", "clipboard-write"],
		acceptDownloads: true,
	});
	page = opened.page;
	await using llm = await LLM.load(MODEL, { device: "cpu" });
	const [{ outputs }] = await llm.chat([{ role: "user", content: QUESTION }], {
		...llm.defaultSamplingParams,
		temperature: 0,
		maxTokens: 24,
	});
	expected = outputs[0].text;
});
after(async () => {
	if (typeof browser === "string") return;
	await opened.close();
	await site.close();
	await browser.close();
});

const conversations = () => page.locator(".conversation-title");

test(
	"nothing is fetched before the reader asks; then the bundled model loads",
	limits,
	async () => {
		assert.equal(await page.locator(".engine-chip").innerText(), "No model");
		const fetched = await page.evaluate(() =>
			performance.getEntriesByType("resource").map(({ name }) => name),
		);
		assert.ok(!fetched.some((name) => /demo-model|llm-worker/.test(name)));
		await startBundled(page);
		assert.match(
			await page.locator(".engine-chip").innerText(),
			/demo-model\s+CPU/,
		);
		assert.ok(await page.evaluate(() => crossOriginIsolated));
	},
);

test("an answer is the one Node gives, with its figures", limits, async () => {
	await setSampling(page, GREEDY);
	assert.equal(await say(page, QUESTION), expected.trim());
	const timing = await page.locator(".timing").innerText();
	assert.match(
		timing,
		/^demo-model · 24 tokens · [\d.]+ tok\/s · [\d.]+ s to the first token$/,
	);
	assert.match(await page.locator(".answer").innerText(), /Ended at a limit/);
	assert.equal(await conversations().innerText(), QUESTION);
	const announced = await page.locator("[aria-live=polite]").innerText();
	assert.ok(announced !== "" && expected.includes(announced));
});

test(
	"tokens show their probabilities, by mouse and by keyboard",
	limits,
	async () => {
		await page.getByRole("button", { name: "Probabilities" }).click();
		const tokens = page.getByRole("option");
		await tokens.nth(23).waitFor();
		const texts = await tokens.allTextContents();
		assert.equal(texts.join("").replaceAll("↵", ""), expected);
		await tokens.nth(3).hover();
		const shown = page.locator(".alternatives");
		const shares = (
			await shown.locator("p > span:last-child").allTextContents()
		).map((it) => (it.startsWith("<") ? 0 : Number.parseFloat(it)));
		assert.ok(shares.length >= 4);
		assert.deepEqual(
			shares,
			shares.toSorted((a, b) => b - a),
		);
		assert.ok(shares.reduce((a, b) => a + b) <= 100.5);
		await page.getByRole("listbox").focus();
		await page.keyboard.press("End");
		await page.keyboard.press("ArrowLeft");
		const active = page.locator("[role=option][aria-selected=true]");
		assert.equal(await active.getAttribute("data-place"), "22");
		assert.match((await active.getAttribute("aria-label")) ?? "", /%.*instead/);
		await page.keyboard.press("Escape");
		assert.equal(await shown.count(), 0);
		await page.getByRole("button", { name: "Probabilities" }).click();
	},
);

test(
	"an answer can be asked for again, a question edited, a text copied",
	limits,
	async () => {
		await page.getByRole("button", { name: "Answer again" }).click();
		await page.locator(".timing").waitFor();
		assert.equal(await lastAnswer(page), expected.trim());
		await page.getByRole("button", { name: "Edit", exact: true }).click();
		const editor = page.getByLabel("Edit the question");
		assert.equal(await editor.inputValue(), QUESTION);
		await editor.fill("What is a rabbit?");
		await page.keyboard.press("Shift+Enter");
		assert.equal(await editor.inputValue(), "What is a rabbit?\n");
		await editor.fill("What is a rabbit?");
		await page.keyboard.press("Enter");
		await page.locator(".timing").waitFor();
		assert.equal(
			await page.locator(".question-text").innerText(),
			"What is a rabbit?",
		);
		const answer = await lastAnswer(page);
		await page.locator(".answer").getByRole("button", { name: "Copy" }).click();
		await page.getByRole("button", { name: "Copied" }).waitFor();
		const copied = await page.evaluate(() => navigator.clipboard.readText());
		assert.equal(
			copied.trim().replace(/\s+/g, " "),
			answer.replace(/\s+/g, " "),
		);
	},
);

/** Conversations in the browser's database. */
function countKept(): Promise<number> {
	return new Promise((resolve, reject) => {
		const opening = indexedDB.open("nano-vllm-chat");
		opening.onerror = () => reject(opening.error);
		opening.onsuccess = () => {
			const kept = opening.result.transaction("conversations");
			const counting = kept.objectStore("conversations").count();
			counting.onerror = () => reject(counting.error);
			counting.onsuccess = () => {
				opening.result.close();
				resolve(counting.result);
			};
		};
	});
}

/** @returns the label of what had the focus */
function pressEscape(): string | null {
	const target = document.activeElement ?? document.body;
	target.dispatchEvent(
		new KeyboardEvent("keydown", { key: "Escape", bubbles: true }),
	);
	return target.ariaLabel;
}

test("Escape stops an answer; what is there stays", limits, async () => {
	await setSampling(page, { "Longest answer, tokens": "", Temperature: "0" });
	await page.getByLabel("Message").fill("Tell me a long story.");
	const pressed = await atFirstWords(page, pressEscape);
	await page.keyboard.press("Enter");
	assert.equal(await pressed(), "Message");
	await page.getByText("Stopped.").waitFor();
	assert.notEqual(await lastAnswer(page), "");
});

test(
	"conversations outlive the page; they are renamed, exported and deleted",
	limits,
	async () => {
		await page.getByRole("button", { name: "Rename" }).click();
		await page.getByLabel("Name of the conversation").fill("Rabbits");
		await page.keyboard.press("Enter");
		await page.getByRole("button", { name: "New conversation" }).click();
		await setSampling(page, GREEDY);
		await say(page, QUESTION);
		await page.reload();
		await page.locator(".dot.ready").waitFor();
		assert.deepEqual(await conversations().allInnerTexts(), [
			QUESTION,
			"Rabbits",
		]);
		await conversations().nth(1).click();
		await page.locator(".question").nth(1).waitFor();
		assert.equal(await page.locator(".question").count(), 2);
		await page.getByRole("button", { name: "Probabilities" }).first().click();
		await page.getByRole("option").nth(23).waitFor();
		const downloading = page.waitForEvent("download");
		await page.getByRole("button", { name: "Export" }).click();
		const download = await downloading;
		assert.equal(download.suggestedFilename(), "rabbits.json");
		const exported = JSON.parse(await readFile(await download.path(), "utf8"));
		assert.equal(exported.title, "Rabbits");
		assert.equal(exported.turns.length, 4);
		assert.equal(exported.turns[1].tokens.length, 24);
		await page.getByRole("button", { name: "Delete" }).click();
		await page
			.getByRole("dialog")
			.getByRole("button", { name: "Delete" })
			.click();
		assert.deepEqual(await conversations().allInnerTexts(), [QUESTION]);
		// A page that is left at once may take the deletion with it.
		while ((await page.evaluate(countKept)) !== 1);
		await page.reload();
		await conversations().waitFor();
		assert.deepEqual(await conversations().allInnerTexts(), [QUESTION]);
		await page.locator(".dot.ready").waitFor();
	},
);

test(
	"a question longer than the model takes in is refused in words",
	limits,
	async () => {
		await say(page, "word ".repeat(1500)).catch(() => {});
		const trouble = await page.getByRole("alert").innerText();
		assert.match(trouble, /1,?024/);
	},
);

/** In the worker: it ends itself before the twentieth message from now on, which is in the middle of a long answer. */
function closeInAnswer(): void {
	const { postMessage } = self;
	let numLeft = 20;
	self.postMessage = (...message: unknown[]) => {
		if (--numLeft > 0) Reflect.apply(postMessage, self, message);
		else self.close();
	};
}

test(
	"a worker that dies under an answer: the page says so, keeps the question, and loads again",
	limits,
	async () => {
		await page.getByRole("button", { name: "New conversation" }).click();
		await setSampling(page, { Temperature: "0", "Longest answer, tokens": "" });
		await page.getByLabel("Message").fill("Tell me a long story.");
		const [worker] = page.workers().filter((it) => /worker/.test(it.url()));
		await worker.evaluate(closeInAnswer);
		await page.keyboard.press("Enter");
		await page.locator(".dot.failed").waitFor();
		const trouble = page.locator(".answer").getByRole("alert");
		assert.match(await trouble.innerText(), /worker/);
		assert.equal(await page.locator(".question").count(), 1);
		await page.getByRole("button", { name: "Load again" }).click();
		await page.locator(".dot.ready").waitFor();
		await setSampling(page, GREEDY);
		assert.equal(await say(page, QUESTION), expected.trim());
	},
);

test("on WebGPU, chosen in the settings, the same answer", limits, async () => {
	await page.goto(`${site.url}#/settings`);
	await page.getByLabel("Device").selectOption("webgpu");
	// Kernels for longer steps take a while to compile in software.
	await page.getByText("More options").click();
	await page.getByLabel("Requests at once").fill("8");
	await page.getByLabel("Tokens per step").fill("32");
	await page.getByRole("button", { name: "Load", exact: true }).click();
	await page.getByText("GPU (WebGPU)", { exact: true }).first().waitFor();
	await page.locator(".dot.ready").waitFor();
	await page.goto(`${site.url}#/chat`);
	await page.getByRole("button", { name: "New conversation" }).click();
	await setSampling(page, { Temperature: "0", "Longest answer, tokens": "8" });
	const answer = await say(page, QUESTION);
	assert.ok(answer.length > 8 && expected.trim().startsWith(answer), answer);
});

/** The app with a worker whose GPU a test can take away: `loseDevices()` in it. */
function withFrailWorker(built: BuiltApp): BuiltApp {
	const frail = new Map(built);
	for (const [path, code] of built)
		if (/llm-worker[^/]*\.js$/.test(path)) frail.set(path, `${FRAIL}${code}`);
	assert.notDeepEqual([...frail.values()], [...built.values()]);
	return frail;
}

const FRAIL = `{
	const devices = [];
	const { requestDevice } = GPUAdapter.prototype;
	GPUAdapter.prototype.requestDevice = async function (descriptor) {
		devices.push(await requestDevice.call(this, descriptor));
		return devices.at(-1);
	};
	globalThis.loseDevices = () => devices.splice(0).forEach((it) => it.destroy());
}
`;

test(
	"a GPU that is lost under an answer: the page says so, keeps the question, and loads again",
	limits,
	async (t) => {
		const frail = await serveApp(withFrailWorker(app));
		t.after(() => frail.close());
		const own = await openPage(browser as Browser, `${frail.url}#/settings`);
		const { page } = own;
		await page.getByLabel("Device").selectOption("webgpu");
		await page.getByText("More options").click();
		await page.getByLabel("Requests at once").fill("1");
		await page.getByLabel("Tokens per step").fill("16");
		await page.getByRole("button", { name: "Load", exact: true }).click();
		await page.locator(".dot.ready").waitFor();
		await page.goto(`${frail.url}#/chat`);
		await setSampling(page, { Temperature: "0", "Longest answer, tokens": "" });
		await page.getByLabel("Message").fill("Tell me a long story.");
		const [worker] = page.workers().filter((it) => /worker/.test(it.url()));
		await page.keyboard.press("Enter");
		await page.locator(".answer .markdown").waitFor();
		await worker.evaluate("loseDevices()");
		await page.locator(".dot.failed").waitFor();
		const trouble = page.locator(".answer").getByRole("alert");
		assert.match(await trouble.innerText(), /GPU|device/);
		assert.equal(await page.locator(".question").count(), 1);
		await page.getByRole("button", { name: "Load again" }).click();
		await page.locator(".dot.ready").waitFor();
		await setSampling(page, {
			Temperature: "0",
			"Longest answer, tokens": "8",
		});
		const answer = await say(page, QUESTION);
		assert.ok(answer.length > 8 && expected.trim().startsWith(answer), answer);
		await own.close();
	},
);

test(
	"on a host that sends no headers the page isolates itself, and says so where it cannot",
	limits,
	async (t) => {
		const plain = await serveApp(app, { isolated: false });
		t.after(() => plain.close());
		const withWorker = await openPage(browser as Browser, plain.url);
		await withWorker.page.waitForFunction(() => crossOriginIsolated);
		await startBundled(withWorker.page);
		await withWorker.close();
		const without = await openPage(browser as Browser, plain.url, {
			serviceWorkers: "block",
		});
		assert.equal(await without.page.evaluate(() => crossOriginIsolated), false);
		await startBundled(without.page);
		await setSampling(without.page, GREEDY);
		assert.equal(await say(without.page, QUESTION), expected.trim());
		await without.page.goto(`${plain.url}#/settings`);
		await without.page.getByText("not cross-origin isolated").first().waitFor();
		await without.close();
	},
);
