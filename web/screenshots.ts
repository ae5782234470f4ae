/**
 * Takes the pictures of the pages in docs/images: `node web/screenshots.ts` after `npm run build`. The answers are the
 * bundled model's own, greedy, so that the same code gives the same pictures.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { launchChromium } from "../test/browser/chromium.ts";
import { openPage, say, setSampling, startBundled } from "../test/web/open.ts";
import { buildApp, serveApp } from "../test/web/site.ts";

const FOLDER = join(import.meta.dirname, "../docs/images");
const SIZES = {
	wide: { width: 1280, height: 800 },
	narrow: { width: 390, height: 760 },
	large: { width: 1600, height: 1080 },
	tall: { width: 1280, height: 1500 },
};
const QUESTIONS = [
	"What is a KV cache?",
	"Tell me a story about a rabbit who found a lantern.",
];

type Shot = keyof typeof SHOTS;

/** Which of them are taken: every page in both sizes and both themes would be too many to look at. */
const PICTURES: readonly (readonly [
	Shot,
	keyof typeof SIZES,
	"light" | "dark",
])[] = [
	["start", "wide", "light"],
	["start", "narrow", "dark"],
	["chat", "wide", "light"],
	["chat", "wide", "dark"],
	["chat", "narrow", "light"],
	["tokens", "wide", "light"],
	["tokens", "narrow", "dark"],
	["inspector", "large", "light"],
	["inspector", "large", "dark"],
	["inspector", "narrow", "dark"],
	["playground", "tall", "light"],
	["settings", "wide", "dark"],
	["settings", "narrow", "light"],
];

const SHOTS = {
	start: async () => {},
	chat: converse,
	async tokens(page: Page) {
		await converse(page);
		await page.getByRole("button", { name: "Probabilities" }).last().click();
		await page.locator(".token.level-3").nth(2).hover();
	},
	async inspector(page: Page) {
		await startBundled(page);
		await page.goto(`${site.url}#/inspector`);
		const run = page.getByRole("button", { name: /^Run 12/ });
		await run.click();
		await run.waitFor();
		for (let i = 0; i < 24; i++)
			await page.getByRole("button", { name: "One step back" }).click();
		await page.getByRole("application", { name: /^Map/ }).focus();
		for (const key of ["ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight"])
			await page.keyboard.press(key);
		await page.waitForTimeout(500);
	},
	async playground(page: Page) {
		await startBundled(page);
		await page.goto(`${site.url}#/playground`);
		await page.getByRole("button", { name: "What a prefix hit saves" }).click();
		await page.getByRole("button", { name: "Run A, then B" }).click();
		await page.getByRole("button", { name: "Run both again" }).waitFor();
		await page.waitForTimeout(500);
	},
	async settings(page: Page) {
		await startBundled(page);
		await page.goto(`${site.url}#/settings`);
	},
};

async function converse(page: Page): Promise<void> {
	await startBundled(page);
	await setSampling(page, {
		Temperature: "0",
		"Longest answer, tokens": "240",
	});
	for (const question of QUESTIONS) await say(page, question);
}

mkdirSync(FOLDER, { recursive: true });
const browser = await launchChromium();
const site = await serveApp(await buildApp());
try {
	for (const [shot, size, colorScheme] of PICTURES) {
		const viewport = SIZES[size];
		const opened = await openPage(browser, site.url, { colorScheme, viewport });
		await SHOTS[shot](opened.page);
		await take(opened.page, `web-${shot}-${size}-${colorScheme}`);
		await opened.close();
	}
} finally {
	await site.close();
	await browser.close();
}

async function take(page: Page, name: string): Promise<void> {
	await page.screenshot({
		path: join(FOLDER, `${name}.png`),
		animations: "disabled",
	});
	console.log(`docs/images/${name}.png`);
}
