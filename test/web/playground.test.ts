/** The playground as built: every scenario ends, and B is better in what the scenario counts; prompts are fired at a server too. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { SCENARIOS } from "../../web/src/playground/scenarios.ts";
import { launchChromium } from "../browser/chromium.ts";
import { browserOrReason } from "../browser/page.ts";
import {
	type AppPage,
	assertAccessible,
	assertNoSideways,
	openApp,
} from "./app-page.ts";
import { type AppSite, buildApp, serveApp } from "./site.ts";

const browser = await browserOrReason(launchChromium);
const skip = typeof browser === "string" ? `no browser: ${browser}` : false;

describe("playground", { skip }, () => {
	let site: AppSite;
	let app: AppPage;
	let page: Page;

	before(async () => {
		site = await serveApp(await buildApp());
		app = await openApp(browser as Browser, site.url, "#/playground", "tab");
		({ page } = app);
	});
	after(async () => {
		await app.close();
		await site.close();
		await (browser as Browser).close();
	});

	const finished = (page: Page) =>
		page.locator('[data-phase="idle"]:has(canvas)').waitFor();

	for (const { id, title, key } of SCENARIOS)
		test(`${title}: ${key.name}`, async (t) => {
			await page.getByRole("button", { name: title, exact: true }).click();
			const scenario = page.locator(`[data-scenario="${id}"]`);
			await scenario.getByRole("button", { name: /^Run A/ }).click();
			const verdict = scenario.locator("[data-holds]");
			await verdict.waitFor();
			await finished(page);
			assert.equal(await scenario.getByRole("alert").count(), 0);
			assert.equal(await verdict.getAttribute("data-holds"), "true");
			assert.equal(await scenario.locator("canvas").count(), 6);
			const outcome = await scenario.locator(".verdicts").innerText();
			t.diagnostic(outcome.replaceAll("\n", " "));
		});

	test("nothing serious for axe after a run", async () => {
		await page.getByText("All figures").click();
		await assertAccessible(page, "a comparison");
		await page.setViewportSize({ width: 360, height: 900 });
		await assertNoSideways(page);
		await page.setViewportSize({ width: 1280, height: 900 });
	});

	test("the results are kept, through a reload too, until they are deleted", async () => {
		const rows = page.locator(".results-table tbody tr");
		assert.equal(await rows.count(), 2 * SCENARIOS.length);
		await page.reload();
		await rows.first().waitFor();
		assert.equal(await rows.count(), 2 * SCENARIOS.length);
		await rows.first().getByRole("button").click();
		await rows.nth(2 * SCENARIOS.length - 1).waitFor({ state: "detached" });
		assert.equal(await rows.count(), 2 * SCENARIOS.length - 1);
		await page.getByRole("button", { name: "Delete all" }).click();
		await rows.first().waitFor({ state: "detached" });
	});

	test("one's own prompts and settings, and the error where they cannot be", async () => {
		await page.getByRole("button", { name: "Your own" }).click();
		await page.getByLabel("Prompts", { exact: true }).fill("6");
		await page.getByLabel("Output tokens, at most").fill("20");
		await page.getByLabel("Sequences at once").fill("3");
		await page.getByLabel("Tokens of the pool").fill("1024");
		await page.getByRole("button", { name: "Run", exact: true }).click();
		const cell = (name: string) => page.locator(`[data-figure="${name}"] dd`);
		assert.equal(await cell("Sequences at once").innerText(), "3");
		assert.match(await cell("Prefix hits").innerText(), /^\d+ tokens/);
		const defaults = page.getByRole("button", {
			name: "Load it with its defaults",
		});
		await defaults.click();
		await defaults.waitFor({ state: "detached" });
		const budget = page.getByLabel("Token budget of a step");
		await budget.fill("2");
		await page.getByRole("button", { name: "Run", exact: true }).click();
		const alert = page.getByRole("alert");
		await alert.waitFor();
		assert.match(await alert.innerText(), /maxNumBatchedTokens is 2/);
		await page.getByRole("button", { name: "Load again" }).click();
		await budget.waitFor();
		assert.equal(await budget.inputValue(), "2", "what was set is still there");
	});

	for (const colorScheme of ["light", "dark"] as const)
		test(`nothing serious for axe, nothing too wide: ${colorScheme}`, async () => {
			const app = await openApp(
				browser as Browser,
				site.url,
				"#/playground",
				"tab",
				{ colorScheme },
			);
			const [{ title }] = SCENARIOS;
			await app.page.getByRole("heading", { name: title }).waitFor();
			for (const width of [1280, 360]) {
				await app.page.setViewportSize({ width, height: 900 });
				await assertAccessible(app.page, `${colorScheme}, ${width} px`);
				await assertNoSideways(app.page);
			}
			await app.close();
		});
});
