/** The inspector as built, over the bundled model in the tab: its numbers are the engine's, time can be held, and all of it is reached by keys. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import type { Browser, Locator, Page } from "playwright-core";
import { launchChromium } from "../browser/chromium.ts";
import { browserOrReason } from "../browser/page.ts";
import {
	type AppPage,
	assertAccessible,
	assertNoSideways,
	openApp,
	workerStats,
} from "./app-page.ts";
import { type AppSite, buildApp, serveApp } from "./site.ts";

const browser = await browserOrReason(launchChromium);
const skip = typeof browser === "string" ? `no browser: ${browser}` : false;

describe("inspector", { skip }, () => {
	let site: AppSite;
	let app: AppPage;
	let page: Page;

	before(async () => {
		site = await serveApp(await buildApp());
		app = await openApp(browser as Browser, site.url, "#/inspector", "tab");
		({ page } = app);
		await page.getByRole("button", { name: /^Run 12/ }).click();
		await page.getByRole("button", { name: /^Run 12/ }).waitFor();
	});
	after(async () => {
		await app.close();
		await site.close();
		await (browser as Browser).close();
	});

	const figure = async (id: string) => {
		const text = await page.locator(`[data-figure="${id}"] dd`).innerText();
		return Number(/[\d,.]+/.exec(text)?.[0].replaceAll(",", ""));
	};
	const note = (id: string) =>
		page.locator(`[data-figure="${id}"] small`).innerText();
	const button = (name: string) =>
		page.getByRole("button", { name, exact: true });
	const section = (name: string): Locator =>
		page.getByRole("region", { name, exact: true });
	const mode = () => page.locator("[data-mode]").getAttribute("data-mode");
	/** Until text written at leisure has caught up. */
	const settle = () => page.waitForTimeout(350);

	test("its numbers are the engine's own", async () => {
		await settle();
		const stats = await workerStats(page);
		assert.ok(stats.numSteps > 40);
		assert.ok(stats.prefixCacheHits > 0);
		assert.equal(await figure("step"), stats.numSteps);
		assert.equal(await figure("prompt-tokens"), stats.numPromptTokens);
		assert.equal(await figure("output-tokens"), stats.numGenerationTokens);
		assert.equal(await figure("preemptions"), stats.numPreemptions);
		assert.equal(
			await note("hits"),
			`${stats.prefixCacheHits.toLocaleString("en")} tokens`,
		);
		assert.equal(await figure("running"), stats.numRequestsRunning);
		assert.equal(await figure("waiting"), stats.numRequestsWaiting);
		assert.equal(await figure("pool"), 100 * stats.kvCacheUsage);
	});

	test("the moment is held, goes back and forth by steps and by the strip of time, and live again", async () => {
		const last = await figure("step");
		await button("Live").click();
		await settle();
		assert.equal(await mode(), "still");
		for (let i = 0; i < 5; i++) await button("One step back").click();
		await settle();
		const there = await figure("step");
		assert.ok(there >= last - 5 && there < last, `step ${there} of ${last}`);
		await button("One step forward").click();
		await settle();
		assert.equal(await figure("step"), there + 1);
		const strip = page.getByRole("slider", { name: "Moment shown" });
		await strip.focus();
		await page.keyboard.press("Home");
		await settle();
		assert.equal(await figure("step"), 0);
		await button("Play").click();
		await button("Hold").waitFor();
		assert.equal(await mode(), "playing");
		await page.waitForFunction(
			() =>
				document
					.querySelector('[data-figure="step"] dd')
					?.textContent?.trim() !== "0",
		);
		await button("Hold").click();
		assert.ok((await figure("step")) < last);
		await button("Live").click();
		await settle();
		assert.equal(await figure("step"), last);
	});

	test("steps, sequences and blocks are reached by keys and told in words", async () => {
		const steps = section("Steps");
		await steps.getByRole("application").focus();
		await page.keyboard.press("ArrowLeft");
		await page.keyboard.press("ArrowLeft");
		await page.keyboard.press("ArrowDown");
		await settle();
		const words = await steps.locator(".live-line").innerText();
		const last = await figure("step");
		assert.match(words, new RegExp(`^Step ${last - 1}: \\d+ of \\d+ tokens; `));
		assert.match(words, /Sequence #\d+ /);
		await page.keyboard.press("Enter");
		await settle();
		assert.equal(await figure("step"), last - 1);
		await steps.getByText("This step as a table").click();
		const rows = steps.getByRole("table").getByRole("row");
		await rows.nth(1).waitFor();
		await page.getByRole("slider", { name: "Moment shown" }).focus();
		for (let i = 0; i < 3; i++) await page.keyboard.press("PageDown");
		await settle();

		const blocks = section("Blocks");
		await blocks.getByRole("application").focus();
		for (const key of ["ArrowRight", "ArrowRight", "ArrowRight"])
			await page.keyboard.press(key);
		await settle();
		assert.match(
			await blocks.locator(".live-line").innerText(),
			/^Block 2: held by #\d+/,
		);
		const details = section("Block 2");
		await details.getByRole("button", { name: /^block 0/ }).click();
		const first = section("Block 0");
		await first.waitFor();
		await page.waitForFunction(() =>
			document.querySelector(".block-text")?.textContent?.startsWith("The "),
		);
		assert.equal(await first.locator(".chain li").count(), 1);
		await first.locator(".chip").first().click();
		await settle();
		assert.match(
			await section("Queues").locator(".live-line").innerText(),
			/^Sequence #\d+ runs: prompt of/,
		);
		assert.equal(await mode(), "still");
		await button("Live").click();
	});

	test("the engine is paused, stepped and resumed", async () => {
		await button("Live").click();
		await button("Pause engine").click();
		await button("Resume engine").waitFor();
		await button("Live").click();
		await page.getByRole("button", { name: /^Run 12/ }).click();
		await page.waitForFunction(() =>
			/^[1-9]/.test(
				document
					.querySelector('[data-figure="waiting"] dd')
					?.textContent?.trim() ?? "",
			),
		);
		await settle();
		const before = await figure("step");
		await button("One step").click();
		await page.waitForFunction(
			(step) =>
				document
					.querySelector('[data-figure="step"] dd')
					?.textContent?.replaceAll(",", "")
					.trim() === String(step),
			before + 1,
		);
		await settle();
		assert.equal(await figure("step"), before + 1);
		assert.equal((await workerStats(page)).numSteps, before + 1);
		await button("Resume engine").click();
		await page.getByRole("button", { name: /^Run 12/ }).waitFor();
		await settle();
		assert.equal(await figure("step"), (await workerStats(page)).numSteps);
	});

	test("the trace that is saved names every step", async () => {
		const [download] = await Promise.all([
			page.waitForEvent("download"),
			button("Export trace").click(),
		]);
		const trace = JSON.parse(await readFile(await download.path(), "utf8"));
		const slices = trace.traceEvents.filter(
			({ ph, name }: { ph: string; name: string }) =>
				ph === "X" && /step/i.test(name),
		);
		assert.ok(slices.length >= (await figure("step")));
	});

	for (const colorScheme of ["light", "dark"] as const)
		test(`nothing serious for axe, nothing too wide: ${colorScheme}`, async () => {
			await page.emulateMedia({ colorScheme });
			for (const width of [1280, 360]) {
				await page.setViewportSize({ width, height: 900 });
				await settle();
				await assertAccessible(page, `${colorScheme}, ${width} px`);
				await assertNoSideways(page);
			}
		});
});
