/** Models that the user gives a page as files, in a real Chromium: dropped, chosen as a folder, kept. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import type { FileMap } from "../../src/browser.ts";
import { fileMap, LLM } from "../../src/index.ts";
import { splitTextGguf, textGguf } from "../support/gguf-text-model.ts";
import { launchChromium } from "./chromium.ts";
import { browserOrReason, dropOn } from "./page.ts";
import { DEMO_MODEL, inFolder, visit } from "./site.ts";

const browser = await browserOrReason(launchChromium);
const skip = typeof browser === "string" && `no browser: ${browser}`;
const limits = { skip, timeout: 60_000 };
const PARAMS = { temperature: 0, maxTokens: 4 };

let gguf: Uint8Array;
let expected: number[];

before(async () => {
	if (skip) return;
	gguf = await textGguf("q8_0");
	const files = fileMap("tiny", new Map([["tiny.gguf", gguf]]));
	await using llm = await LLM.load(files, { device: "cpu" });
	const [{ outputs }] = await llm.generate("Hello", PARAMS);
	expected = outputs[0].tokenIds;
});
after(async () => {
	if (typeof browser !== "string") await browser.close();
});

/** Lets files fall on the page; `dropped` of the page becomes what droppedFiles makes of them. */
async function drop(page: Page, paths: readonly string[]): Promise<void> {
	await page.evaluate(() => {
		document.ondragover = (event) => event.preventDefault();
		const dropped = new Promise((resolve, reject) => {
			document.ondrop = (event) => {
				event.preventDefault();
				if (event.dataTransfer !== null)
					nano.droppedFiles(event.dataTransfer).then(resolve, reject);
			};
		});
		dropped.catch(() => {});
		Object.assign(globalThis, { dropped });
	});
	await dropOn(page, paths, { x: 9, y: 9 });
}

const askDropped = (page: Page) =>
	page.evaluate(async (params) => {
		type Dropped = { dropped: Promise<FileMap> };
		const { dropped } = globalThis as unknown as Dropped;
		try {
			const files = await dropped;
			await using llm = await nano.WorkerLLM.load(files, {
				device: "cpu",
				threads: 1,
			});
			const [{ outputs }] = await llm.generate("Hello", params);
			const names = [...files.contents.keys()].sort();
			return { tokenIds: outputs[0].tokenIds, names, name: llm.modelName };
		} catch (error) {
			return String(error);
		}
	}, PARAMS);

async function withPage(use: (page: Page) => Promise<void>): Promise<void> {
	const it = await visit(browser as Browser, false);
	try {
		await use(it.page);
	} finally {
		await it.close();
	}
}

test("a GGUF that is dropped, and kept", limits, () =>
	withPage((page) =>
		inFolder(new Map([["tiny.gguf", gguf]]), async (folder) => {
			await drop(page, [join(folder, "tiny.gguf")]);
			assert.deepEqual(await askDropped(page), {
				tokenIds: expected,
				names: ["tiny.gguf"],
				name: "files/tiny.gguf",
			});
			const kept = await page.evaluate(async (params) => {
				type Dropped = { dropped: Promise<FileMap> };
				const { dropped } = globalThis as unknown as Dropped;
				const bytes: number[] = [];
				const model = await nano.keepModel(await dropped, {
					onProgress: (loaded) => bytes.push(loaded),
				});
				await using llm = await nano.WorkerLLM.load(model, {
					device: "cpu",
					threads: 1,
				});
				const [{ outputs }] = await llm.generate("Hello", params);
				return {
					model,
					last: bytes.at(-1),
					tokenIds: outputs[0].tokenIds,
					listed: await nano.listCachedModels(),
				};
			}, PARAMS);
			assert.equal(kept.last, gguf.length);
			assert.deepEqual(kept.tokenIds, expected);
			const [listed] = kept.listed;
			assert.equal(listed.model, kept.model);
			assert.equal(listed.source, "files");
			assert.equal(listed.isComplete, true);
			await page.evaluate((it) => nano.deleteCachedModel(it), kept.model);
			assert.deepEqual(await page.evaluate(() => nano.listCachedModels()), []);
		}),
	),
);

test("a folder with a split GGUF that is dropped", limits, () =>
	withPage(async (page) => {
		const parts = await splitTextGguf("q8_0", "tiny", 3);
		await inFolder(parts, async (folder) => {
			await drop(page, [folder]);
			const got = await askDropped(page);
			assert.ok(typeof got !== "string", String(got));
			assert.deepEqual(got.tokenIds, expected);
			assert.deepEqual(got.names, [...parts.keys()].sort());
		});
	}),
);

test(
	"a checkpoint's folder chosen in a dialog; files that are no model",
	limits,
	() =>
		withPage(async (page) => {
			await page.evaluate(() => {
				document.body.innerHTML = "<input type=file webkitdirectory>";
				const input = document.querySelector("input") as HTMLInputElement;
				input.onchange = () => {
					const dropped = nano.droppedFiles(input.files as FileList);
					dropped.catch(() => {});
					Object.assign(globalThis, { dropped });
				};
			});
			await page.setInputFiles("input", DEMO_MODEL);
			await page.waitForFunction(() => "dropped" in globalThis);
			const got = await askDropped(page);
			assert.ok(typeof got !== "string", String(got));
			assert.equal(got.name, "demo-model");
			assert.equal(got.tokenIds.length, PARAMS.maxTokens);

			await drop(page, [join(DEMO_MODEL, "config.json")]);
			assert.match(
				String(await askDropped(page)),
				/wanted a folder with config.json and \*.safetensors, or one GGUF with all its parts, got 1 files \(config.json\)/,
			);
		}),
);
