/** Opens the built app in Chromium, and what tests do on it again and again. A page that complains fails its test. */
import assert from "node:assert/strict";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";

/** The last one: SwiftShader takes half a second to compile a kernel whose workgroup memory it shall zero by itself; the kernel does. */
export const WEBGPU_FLAGS = [
	"--enable-unsafe-webgpu",
	"--use-webgpu-adapter=swiftshader",
	"--disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension",
];

export interface OpenedPage {
	readonly page: Page;
	/** With the browser's storage for it. Fails if the page had errors, or the browser refused something it wanted. */
	close(): Promise<void>;
}

/** A first visit: nothing is stored. */
export async function openPage(
	browser: Browser,
	url: string,
	options: BrowserContextOptions = {},
): Promise<OpenedPage> {
	const context = await browser.newContext(options);
	const page = await context.newPage();
	page.setDefaultTimeout(60_000);
	const complaints: string[] = [];
	page.on("pageerror", (error) => complaints.push(String(error)));
	page.on("console", (message) => {
		const isRefusal = /Content Security Policy/.test(message.text());
		if (isRefusal) complaints.push(message.text());
	});
	await page.goto(url);
	return {
		page,
		async close() {
			await context.close();
			assert.deepEqual(complaints, []);
		},
	};
}

export async function startBundled(page: Page): Promise<void> {
	await page.getByRole("button", { name: /Start the bundled model/ }).click();
	await page.locator(".dot.ready").waitFor();
}

/** What the sampling panel shall say; "": the model's own default. */
export async function setSampling(
	page: Page,
	fields: Readonly<Record<string, string>>,
): Promise<void> {
	await page.getByRole("button", { name: "Sampling" }).click();
	for (const [label, value] of Object.entries(fields))
		await page.getByLabel(label).fill(value);
	await page.getByRole("button", { name: "Close" }).click();
}

/** @returns the answer's text when it is complete */
export async function say(page: Page, text: string): Promise<string> {
	const before = await page.locator(".timing").count();
	await page.getByLabel("Message").fill(text);
	await page.keyboard.press("Enter");
	await page.locator(".timing").nth(before).waitFor();
	return lastAnswer(page);
}

export async function lastAnswer(page: Page): Promise<string> {
	return page.locator(".answer .markdown").last().innerText();
}

/**
 * Does something on the page in the frame that draws the first words of the next answer: a hand would come too late, for the model is fast.
 * Call it before the question is sent.
 * @returns waits for that frame, and gives what `act` gave
 */
export async function atFirstWords<T>(
	page: Page,
	act: () => T,
): Promise<() => Promise<T>> {
	await page.evaluate(`(${watchForWords})(${act})`);
	return () => page.evaluate<T>("acted");
}

function watchForWords(act: () => unknown): void {
	const numBefore = document.querySelectorAll(".answer").length;
	const acted = new Promise((resolve) => {
		new MutationObserver((_, observer) => {
			const answer = document.querySelectorAll(".answer")[numBefore];
			if (!answer?.querySelector(".markdown")?.textContent) return;
			observer.disconnect();
			resolve(act());
		}).observe(document.body, { childList: true, subtree: true });
	});
	Object.assign(globalThis, { acted });
}
