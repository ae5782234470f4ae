/** Models in the browser's own disk, in a real Chromium: kept, continued after a cut, shared by tabs, loaded without network, deleted. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import type { LoadOptions } from "../../src/index.ts";
import { startHub } from "../support/hub-server.ts";
import { launchChromium } from "./chromium.ts";
import { browserOrReason } from "./page.ts";
import {
	DEMO_MODEL,
	type ModelServer,
	serveModel,
	type Visit,
	visit,
} from "./site.ts";

const FILES = [
	"config.json",
	"generation_config.json",
	"tokenizer.json",
	"tokenizer_config.json",
	"model.safetensors",
];
const WEIGHTS = "/model/model.safetensors";
const WEIGHT_BYTES = readFileSync(join(DEMO_MODEL, "model.safetensors")).length;

const browser = await browserOrReason(launchChromium);
const skip = typeof browser === "string" && `no browser: ${browser}`;
const limits = { skip, timeout: 60_000 };
after(async () => {
	if (typeof browser !== "string") await browser.close();
});

interface Answer {
	readonly code: string | null;
	/** Where it failed. */
	readonly message?: string;
	readonly tokenIds: readonly number[];
	/** Bytes of the download, as progress told them. */
	readonly downloaded: readonly number[];
}

/** Loads the model, asks it something, and closes it. */
const ask = (page: Page, model: string, options: LoadOptions = {}) =>
	page.evaluate(
		async ([model, options]): Promise<Answer> => {
			const downloaded: number[] = [];
			try {
				await using llm = await nano.WorkerLLM.load(model, {
					device: "cpu",
					threads: 1,
					...options,
					onProgress({ stage, loadedBytes }) {
						if (stage === "download") downloaded.push(loadedBytes);
					},
				});
				const greedy = { temperature: 0, maxTokens: 4 };
				const [{ outputs }] = await llm.generate("Once", greedy);
				return { code: null, tokenIds: outputs[0].tokenIds, downloaded };
			} catch (error) {
				const { code, message } = error as { code: string; message: string };
				return { code, message, tokenIds: [], downloaded };
			}
		},
		[model, options] as const,
	);

const listed = (page: Page) => page.evaluate(() => nano.listCachedModels());

async function withModels(
	use: (visit: Visit, models: ModelServer, url: string) => Promise<void>,
): Promise<void> {
	const models = await serveModel();
	const it = await visit(browser as Browser, false);
	try {
		await use(it, models, `${models.origin}/model`);
	} finally {
		await it.close();
		await models.stop();
	}
}

const weightsAsked = ({ asked }: ModelServer) =>
	asked
		.filter(({ path, range }) => path === WEIGHTS && range !== "bytes=0-0")
		.map(({ range }) => range);

test(
	"a model of a URL is kept, loaded after a reload without its server, refreshed, and deleted",
	limits,
	() =>
		withModels(async ({ page }, models, url) => {
			const first = await ask(page, url);
			assert.equal(first.code, null);
			assert.equal(first.downloaded.at(-1), first.downloaded.at(-1));
			assert.ok((first.downloaded.at(-1) ?? 0) >= WEIGHT_BYTES);
			assert.deepEqual(weightsAsked(models), [undefined]);

			await page.reload();
			await models.stop();
			const offline = await ask(page, url);
			assert.deepEqual(offline, { ...first, downloaded: [] });

			await models.start();
			models.asked.length = 0;
			const again = await ask(page, url);
			assert.deepEqual(again.tokenIds, first.tokenIds);
			assert.deepEqual(weightsAsked(models), [], "the weights are the same");

			const [kept, ...others] = await listed(page);
			assert.equal(others.length, 0);
			assert.equal(kept.model, url);
			assert.equal(kept.source, "url");
			assert.equal(kept.isComplete, true);
			assert.ok(kept.sizeBytes > WEIGHT_BYTES);
			await page.evaluate((model) => nano.deleteCachedModel(model), url);
			assert.deepEqual(await listed(page), []);
			await models.stop();
			assert.equal((await ask(page, url)).code, "download_failed");
		}),
);

test("a download that a reload cut goes on where it was", limits, () =>
	withModels(async ({ page }, models, url) => {
		const cut = 5_000_000;
		models.standAfter.set("model.safetensors", cut);
		await page.evaluate((model) => {
			void nano.WorkerLLM.load(model, {
				onProgress({ loadedBytes }) {
					Object.assign(globalThis, { loadedBytes });
				},
			}).catch(() => {});
		}, url);
		await page.waitForFunction(
			(cut) =>
				((globalThis as { loadedBytes?: number }).loadedBytes ?? 0) >= cut,
			cut,
		);
		const busy = await page.evaluate(async () => {
			const [{ model, isComplete }] = await nano.listCachedModels();
			const code = await nano.deleteCachedModel(model).then(
				() => "deleted",
				(error) => error.code,
			);
			return { isComplete, code };
		});
		assert.deepEqual(busy, { isComplete: false, code: "output_failed" });
		await page.reload();
		const [partial] = await listed(page);
		assert.equal(partial.isComplete, false);
		assert.equal(partial.model, url);
		models.standAfter.clear();
		models.asked.length = 0;
		const { code, tokenIds } = await ask(page, url);
		assert.equal(code, null);
		assert.equal(tokenIds.length, 4);
		const [range] = weightsAsked(models);
		const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1]);
		assert.ok(from > 0 && from <= cut, `asked for ${range}`);
		assert.equal((await listed(page))[0].isComplete, true);
	}),
);

test("two tabs that want the same model bring it once", limits, () =>
	withModels(async ({ page, open }, models, url) => {
		const other = await open();
		const [one, two] = await Promise.all([ask(page, url), ask(other, url)]);
		assert.deepEqual([one.message, two.message], [undefined, undefined]);
		assert.deepEqual(one.tokenIds, two.tokenIds);
		assert.equal(weightsAsked(models).length, 1);
	}),
);

test(
	"a model that changed on its server is brought anew; cache: false keeps nothing",
	limits,
	() =>
		withModels(async ({ page }, models, url) => {
			await ask(page, url, { cache: false });
			assert.deepEqual(await listed(page), []);
			await ask(page, url);
			await page.evaluate(async () => {
				const root = await navigator.storage.getDirectory();
				const kept = await root.getDirectoryHandle("nano-vllm");
				const urls = await kept.getDirectoryHandle("urls");
				for await (const folder of urls.values()) {
					const handle = await (
						folder as FileSystemDirectoryHandle
					).getFileHandle("manifest.json");
					const text = await (await handle.getFile()).text();
					const writable = await handle.createWritable();
					await writable.write(
						text.replaceAll(/"version":"[^}]+"/g, '"version":"old"'),
					);
					await writable.close();
				}
			});
			models.asked.length = 0;
			assert.equal((await ask(page, url)).code, null);
			assert.deepEqual(weightsAsked(models), [undefined]);
		}),
);

test(
	"a model of the hub: checked by its sums, kept at its commit, loaded without the hub, deleted",
	limits,
	async () => {
		const hub = await startHub();
		const commit = "0123456789abcdef0123456789abcdef01234567";
		const files = new Map(
			FILES.map((name) => [name, readFileSync(join(DEMO_MODEL, name))]),
		);
		hub.repos.set("acme/tiny", { commit, files });
		const options = { hub: { endpoint: hub.endpoint } };
		const { page, close } = await visit(browser as Browser, false);
		try {
			// Other bytes than the sum says, of the same length.
			const wrong = new Uint8Array(WEIGHT_BYTES);
			hub.trouble = ({ host }) => (host === "cdn" ? { body: wrong } : null);
			const refused = await ask(page, "acme/tiny", options);
			assert.equal(refused.code, "download_failed");
			hub.trouble = () => null;
			const first = await ask(page, "acme/tiny", options);
			assert.equal(first.code, null);
			const sizes = [...files.values()].map(({ length }) => length);
			const total = sizes.reduce((a, b) => a + b);
			assert.equal(first.downloaded.at(-1), total);
			const [kept] = await listed(page);
			assert.equal(kept.model, "acme/tiny");
			assert.equal(kept.isComplete, true);
			await page.reload();
			await hub.close();
			const offline = await ask(page, "acme/tiny", options);
			assert.deepEqual(offline, { ...first, downloaded: [] });
			const pinned = await ask(page, `acme/tiny@${commit}`, options);
			assert.deepEqual(pinned.tokenIds, first.tokenIds);
			await page.evaluate(() => nano.deleteCachedModel("acme/tiny"));
			assert.deepEqual(await listed(page), []);
		} finally {
			await close();
		}
	},
);

test(
	"a disk that is full is told, and with room again the download goes on",
	limits,
	() =>
		withModels(async ({ context, page, origin }, _, url) => {
			const session = await context.newCDPSession(page);
			const give = (quotaSize?: number) =>
				session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize });
			await give(1_000_000);
			const full = await page.evaluate(
				(url) =>
					nano.WorkerLLM.load(url).catch(({ code, message }) => [
						code,
						message,
					]),
				url,
			);
			const [code, message] = full as [string, string];
			assert.equal(code, "download_failed");
			assert.match(message, /gives this site no more room. Delete models/);
			await give();
			assert.equal((await ask(page, url)).code, null);
			// What the browser says beforehand is believed, too.
			const refused = await page.evaluate(async () => {
				navigator.storage.estimate = async () => ({ quota: 10, usage: 4 });
				const files = nano.fileMap("a", new Map([["a", new Uint8Array(7)]]));
				return nano.keepModel(files).catch(({ message }) => message);
			});
			assert.match(
				refused,
				/takes 7 bytes, the browser gives this site 6 bytes/,
			);
		}),
);
