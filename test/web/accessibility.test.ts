/** Every state of chat and settings through axe, light and dark, on a phone, a laptop and a 4k screen; nothing scrolls sideways. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import type { AxeResults, RunOptions } from "axe-core";
import type { Browser, Page } from "playwright-core";
import { launchChromium } from "../browser/chromium.ts";
import { browserOrReason } from "../browser/page.ts";
import { type OpenedPage, openPage, say } from "./open.ts";
import { type AppSite, buildApp, serveApp } from "./site.ts";
import { serveText, type TextServer } from "./text-server.ts";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const WIDTHS = [360, 1280, 3840];
const ANSWER = `<think>Let me see.</think>
# A heading
A paragraph with *stress*, \`code\` and a [link](https://example.org).

- one
- two

| a | b |
|---|---|
| 1 | 2 |

\`\`\`ts
const a: number = 1; // a comment, and a line that is much longer than a narrow screen is wide
\`\`\`

- [x] done
- [ ] to do

> quoted`;

const browser = await browserOrReason(() => launchChromium());
const skip = typeof browser === "string" && `no browser: ${browser}`;
const limits = { skip, timeout: 120_000 };

let site: AppSite;
let server: TextServer;
let opened: OpenedPage;
let page: Page;

before(async () => {
	if (skip) return;
	site = await serveApp(await buildApp());
	server = await serveText(ANSWER);
	opened = await openPage(browser as Browser, site.url, { bypassCSP: true });
	page = opened.page;
	await page.addScriptTag({ path: AXE });
});
after(async () => {
	if (typeof browser === "string") return;
	await opened.close();
	await server.close();
	await site.close();
	await browser.close();
});

async function check(state: string): Promise<void> {
	for (const width of WIDTHS)
		for (const colorScheme of ["light", "dark"] as const) {
			const where = `${state}, ${width} px, ${colorScheme}`;
			await page.setViewportSize({ width, height: Math.max(640, width / 2) });
			await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
			const { violations, passes, incomplete } = await runAxe(colorScheme);
			assert.ok(passes.length + incomplete.length > 0, `${where}: axe ran`);
			const serious = violations
				.filter(({ impact }) => impact === "serious" || impact === "critical")
				.map(
					({ id, nodes }) =>
						`${id}: ${nodes[0].html} ${nodes[0].failureSummary}`,
				);
			assert.deepEqual(serious, [], where);
			const overhang = await page.evaluate(
				() => document.documentElement.scrollWidth - innerWidth,
			);
			assert.ok(overhang <= 0, `${where}: ${overhang} px too wide`);
		}
}

/** Of the dark theme its colours alone: the rest is as in the light one. */
function runAxe(colorScheme: "light" | "dark"): Promise<AxeResults> {
	return page.evaluate(
		(options) =>
			(
				globalThis as unknown as {
					axe: { run(options: RunOptions): Promise<AxeResults> };
				}
			).axe.run(options),
		colorScheme === "dark" ? { runOnly: ["color-contrast"] } : {},
	);
}

test("before a model is there", limits, async () => {
	await check("chat, no model");
	await page.goto(`${site.url}#/inspector`);
	await check("inspector, no model");
});

test(
	"settings of tab and server, and a failed connection",
	limits,
	async () => {
		await page.goto(`${site.url}#/settings`);
		await page.getByLabel("From the web").check();
		await page.getByText("More options").click();
		await check("settings, from the web");
		await page.getByLabel("Files on this computer").check();
		await check("settings, files");
		await page.getByLabel("A server").check();
		await page.getByLabel("Address").fill("http://127.0.0.1:9");
		await page.getByRole("button", { name: "Connect" }).click();
		await page.getByRole("alert").waitFor();
		await check("settings, server that does not answer");
		await page.getByLabel("Address").fill(server.url);
		await page.getByRole("button", { name: "Connect" }).click();
		await page.locator(".dot.ready").waitFor();
		await check("settings, connected");
	},
);

test(
	"a conversation as text and as tokens, its editor, the list, the sampling panel",
	limits,
	async () => {
		await page.goto(`${site.url}#/chat`);
		await say(page, "A question ".repeat(12));
		await page.locator(".thought summary").click();
		await check("answer");
		await page.getByRole("button", { name: "Probabilities" }).click();
		await page.getByRole("listbox").focus();
		await page.locator(".alternatives").waitFor();
		await check("tokens");
		await page.getByRole("button", { name: "Edit", exact: true }).click();
		await check("editor");
		await page.keyboard.press("Escape");
		await page.getByRole("button", { name: "Sampling" }).click();
		await check("sampling");
		await page.setViewportSize({ width: 360, height: 640 });
		await page.keyboard.press("Escape");
		await page.getByRole("button", { name: "Conversations" }).click();
		await check("list");
		await page.setViewportSize({ width: 360, height: 640 });
		await page.getByRole("button", { name: "Delete" }).click();
		await check("dialog");
		await page.keyboard.press("Escape");
	},
);

test(
	"everything is reached by the keyboard, the content first if one wants",
	limits,
	async () => {
		await page.setViewportSize({ width: 1280, height: 800 });
		await page.goto(`${site.url}#/chat`);
		await page.reload();
		await page.locator(".dot.ready").waitFor();
		await page.keyboard.press("Tab");
		assert.equal(await focused(page), "Skip to content");
		await page.keyboard.press("Enter");
		assert.equal(
			await page.evaluate(() => document.activeElement?.tagName),
			"MAIN",
		);
		const seen: string[] = [];
		for (let i = 0; i < 40 && seen.at(-1) !== "Message"; i++) {
			await page.keyboard.press("Tab");
			seen.push(await focused(page));
		}
		for (const name of [
			"New conversation",
			"Sampling",
			"Edit",
			"Probabilities",
			"Answer again",
			"Message",
		])
			assert.ok(seen.includes(name), `${name} in ${seen}`);
	},
);

const focused = (page: Page): Promise<string> =>
	page.evaluate(() => {
		const it = document.activeElement;
		return it?.ariaLabel ?? it?.textContent ?? "";
	});

test("a panel takes the focus and gives it back", limits, async () => {
	await page.getByRole("button", { name: "Sampling" }).click();
	await page.locator("button:focus", { hasText: "Close" }).waitFor();
	await page.keyboard.press("Enter");
	await page.locator("button:focus", { hasText: "Sampling" }).waitFor();
});

test(
	"light and dark as the system or the reader says, remembered",
	limits,
	async () => {
		await page.emulateMedia({ colorScheme: "light" });
		const background = () =>
			page.evaluate(() => getComputedStyle(document.body).backgroundColor);
		const light = await background();
		await page.getByRole("button", { name: /Change to light/ }).click();
		await page.getByRole("button", { name: /Change to dark/ }).click();
		const dark = await background();
		assert.notEqual(dark, light);
		await page.reload();
		assert.equal(await background(), dark);
		await page.getByRole("button", { name: /Change to as the system/ }).click();
		assert.equal(await background(), light);
		await page.emulateMedia({ colorScheme: "dark" });
		assert.equal(await background(), dark);
	},
);
