/**
 * The cpu device in a real Chromium: on a page and in a worker, isolated (threads over shared memory) and not (one thread, inline).
 * Node's cpu device says what is right.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { LLM } from "../../src/index.ts";
import { bundle } from "./bundle.ts";
import { launchChromium } from "./chromium.ts";
import type { Answer, Job, Report } from "./entry.ts";
import { browserOrReason, callOnPage } from "./page.ts";

const modelFolder = fileURLToPath(new URL("../../demo-model", import.meta.url));
const THREADS = 2;
const MAX_TOKENS = 48;
const PROMPTS = [
	"Once upon a time, there was a rabbit named",
	"A KV cache is",
	"The sum of 17 and 25 is",
];

const browser = await browserOrReason(launchChromium);
const skip = typeof browser === "string" && `no browser: ${browser}`;

let files: ReadonlyMap<string, Uint8Array | string>;
let expected: readonly Answer[];

before(async () => {
	if (skip) return;
	files = await bundle("entry");
	await using llm = await LLM.load(modelFolder, { device: "cpu" });
	const params = { temperature: 0, maxTokens: MAX_TOKENS };
	const outputs = await llm.generate(PROMPTS, params);
	expected = outputs.map(({ outputs: [{ text, tokenIds }] }) => ({
		text,
		tokenIds: [...tokenIds],
	}));
});
after(async () => {
	if (typeof browser !== "string") await browser.close();
});

function report(
	name: "runOnPage" | "runInWorker",
	isolated: boolean,
): Promise<Report> {
	return callOnPage<Report>(browser as Browser, {
		site: { files, folders: { model: modelFolder }, isolated },
		script: "entry",
		name,
		job: (origin): Job => ({
			modelUrl: `${origin}/model`,
			prompts: PROMPTS,
			maxTokens: MAX_TOKENS,
			regex: "[a-z]{3}-[0-9]{2}",
			load: { device: "cpu", threads: THREADS },
		}),
	});
}

for (const isolated of [true, false])
	for (const where of ["runOnPage", "runInWorker"] as const) {
		const place = where === "runOnPage" ? "on a page" : "in a worker";
		const name = `cpu ${place}, ${isolated ? "" : "not "}cross-origin isolated`;
		test(name, { skip, timeout: 60_000 }, async (t) => {
			const it = await report(where, isolated);
			assert.equal(it.isolated, isolated);
			assert.equal(it.device, "cpu");
			assert.deepEqual(it.batched, expected);
			const { numDeltas, ...streamed } = it.streamed;
			assert.deepEqual(streamed, expected[0]);
			assert.ok(numDeltas > 1, `${numDeltas} deltas`);
			assert.match(it.structured, /^[a-z]{3}-[0-9]{2}$/);
			assert.equal(it.missing, "model_not_found");
			assert.equal(it.abortedLoad, "no more");
			assert.equal(it.abortedRequest, "enough");
			assert.equal(it.numRequestsLeft, 0);
			assert.equal(it.closed, "engine_closed");
			assert.equal(it.numWorkersCreated, (isolated ? THREADS : 0) + 2);
			assert.equal(it.numWorkersTerminated, it.numWorkersCreated);
			t.diagnostic(
				`${it.userAgent.match(/\S*Chrome\S*/)}, ${it.numWorkersCreated} threads: load ${it.loadMs.toFixed()} ms, ${PROMPTS.length} prompts ${it.batchMs.toFixed()} ms`,
			);
		});
	}
