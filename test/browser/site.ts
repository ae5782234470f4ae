/** A page with nano-vllm/browser on it (`nano`), and a server of models on another port, which may go away and come back. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContext, Page, Worker } from "playwright-core";
import { bundle } from "./bundle.ts";
import { type Site, serve } from "./server.ts";

export const DEMO_MODEL = fileURLToPath(
	new URL("../../demo-model", import.meta.url),
);

/** What a page is served with: the scripts, bundled once. */
let scripts: Promise<ReadonlyMap<string, Uint8Array | string>> | undefined;

export interface Visit {
	readonly page: Page;
	readonly context: BrowserContext;
	readonly origin: string;
	/** Another page of the same site. */
	open(): Promise<Page>;
	close(): Promise<void>;
}

/** A fresh visitor, whose browser keeps nothing yet. */
export async function visit(browser: Browser, isolated = true): Promise<Visit> {
	scripts ??= bundle("worker-page", {}, ["frail-worker"]);
	const site = await serve({
		files: await scripts,
		folders: { model: DEMO_MODEL },
		isolated,
	});
	const context = await browser.newContext();
	const open = async () => {
		const page = await context.newPage();
		await page.goto(`${site.origin}/worker-page.html`);
		await page.waitForFunction(() => "nano" in globalThis);
		return page;
	};
	return {
		page: await open(),
		context,
		origin: site.origin,
		open,
		async close() {
			await context.close();
			await site.close();
		},
	};
}

/** The worker with the model. */
export function modelWorker(page: Page): Worker {
	const name = /\/(llm|frail)-worker\.js$/;
	const worker = page.workers().find((it) => name.test(it.url()));
	if (worker === undefined) throw new Error("the page has no such worker");
	return worker;
}

export interface Asked {
	readonly path: string;
	readonly range: string | undefined;
}

export interface ModelServer {
	readonly origin: string;
	/** Files asked for, since `asked` was last cleared. */
	readonly asked: Asked[];
	/** Bytes after which an answer stands still, by the file's name. */
	readonly standAfter: Map<string, number>;
	stop(): Promise<void>;
	/** At the same address. */
	start(): Promise<void>;
}

/** @param folder what is served, under /model */
export async function serveModel(folder = DEMO_MODEL): Promise<ModelServer> {
	const asked: Asked[] = [];
	const standAfter = new Map<string, number>();
	const site: Site = {
		files: new Map(),
		folders: { model: folder },
		isolated: false,
		isShared: true,
		onFile(path, range) {
			asked.push({ path, range });
			return standAfter.get(path.split("/").at(-1) ?? "") ?? null;
		},
	};
	let server = await serve(site);
	const { origin } = server;
	const port = Number(new URL(origin).port);
	return {
		origin,
		asked,
		standAfter,
		stop: () => server.close(),
		async start() {
			server = await serve(site, port);
		},
	};
}

/** Files in a folder of their own, for the time of `use`. */
export async function inFolder<T>(
	files: ReadonlyMap<string, Uint8Array>,
	use: (folder: string) => Promise<T>,
): Promise<T> {
	const folder = mkdtempSync(join(tmpdir(), "nano-vllm-page-"));
	try {
		for (const [name, content] of files)
			writeFileSync(join(folder, name), content);
		return await use(folder);
	} finally {
		rmSync(folder, { recursive: true });
	}
}
