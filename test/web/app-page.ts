/** The built app in a fresh page of Chromium: with the bundled model on the CPU, or from a server. What goes wrong on the page fails the test. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import type { EngineStats } from "../../src/index.ts";

const axe = readFileSync(
	new URL(import.meta.resolve("axe-core/axe.min.js")),
	"utf8",
);

export interface AppPage {
	readonly page: Page;
	/** @throws AssertionError where the page complained */
	close(): Promise<void>;
}

/** @param place "tab": the bundled model in this tab, on the CPU; "server": the one that serves the page */
export async function openApp(
	browser: Browser,
	url: string,
	hash: string,
	place: "tab" | "server",
	options: BrowserContextOptions = {},
): Promise<AppPage> {
	const context = await browser.newContext({
		viewport: { width: 1280, height: 900 },
		...options,
	});
	await context.addInitScript(rememberWorkers);
	if (place === "tab") await context.addInitScript(chooseBundledModel);
	const page = await context.newPage();
	const complaints: string[] = [];
	page.on("pageerror", (error) => complaints.push(String(error.stack)));
	await page.goto(`${url}${hash}`);
	return {
		page,
		async close() {
			await context.close();
			assert.deepEqual(complaints, []);
		},
	};
}

function chooseBundledModel(): void {
	const choice = { place: "tab", model: { kind: "bundled" }, device: "cpu" };
	localStorage.setItem("nano-vllm.engine", JSON.stringify(choice));
}

/** Keeps the workers a page makes where a test can reach them. */
function rememberWorkers(): void {
	const made: Worker[] = [];
	Object.assign(globalThis, { workersMade: made });
	globalThis.Worker = class extends Worker {
		constructor(url: string | URL, options?: WorkerOptions) {
			super(url, options);
			made.push(this);
		}
	};
}

/** What the engine in the page's worker counts, asked past the page. */
export function workerStats(page: Page): Promise<EngineStats> {
	return page.evaluate(() => {
		const made = Reflect.get(globalThis, "workersMade") as Worker[];
		const worker = made[made.length - 1];
		const call = 1e9;
		return new Promise<EngineStats>((resolve) => {
			const hear = ({ data }: MessageEvent) => {
				if (data.kind !== "result" || data.call !== call) return;
				worker.removeEventListener("message", hear);
				resolve(data.value);
			};
			worker.addEventListener("message", hear);
			worker.postMessage({ kind: "call", call, method: "stats", args: [] });
		});
	});
}

/** Fails with what axe finds serious or worse on the page as it is. */
export async function assertAccessible(
	page: Page,
	what: string,
): Promise<void> {
	await page.evaluate(axe);
	const found = await page.evaluate(async () => {
		const run = Reflect.get(globalThis, "axe").run;
		const { violations } = await run();
		return violations
			.filter(({ impact }: { impact: string }) =>
				["serious", "critical"].includes(impact),
			)
			.map(
				({ id, nodes }: { id: string; nodes: { html: string }[] }) =>
					`${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`,
			);
	});
	assert.deepEqual(found, [], what);
}

/** The page fits its window's width. */
export async function assertNoSideways(page: Page): Promise<void> {
	const overflow = await page.evaluate(() => {
		const main = document.querySelector("main");
		const { scrollWidth, clientWidth } = document.documentElement;
		return [
			scrollWidth - clientWidth,
			(main?.scrollWidth ?? 0) - (main?.clientWidth ?? 0),
		];
	});
	assert.deepEqual(overflow, [0, 0]);
}
