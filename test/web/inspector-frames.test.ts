/** The inspector keeps up: 256 sequences and 8,192 blocks on screen, a hundred steps a second. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Browser } from "playwright-core";
import { launchChromium } from "../browser/chromium.ts";
import { browserOrReason } from "../browser/page.ts";
import { recordLoad } from "./busy-engine.ts";
import type { FrameReport, Pace } from "./inspector-stage.tsx";
import { type BuiltApp, serveApp } from "./site.ts";

/** Drawn by software on two cores that the browser's own threads share; a screen's pace is 60. */
const LEAST_FRAMES_PER_SECOND = 20;
const PACE = { stepsPerSecond: 100, ms: 2000, enough: 50, most: 4 };

const browser = await browserOrReason(launchChromium);
after(() => (browser as Partial<Browser>).close?.());
const skip = typeof browser === "string" ? `no browser: ${browser}` : false;

test("frames a second, 256 sequences, 8,192 blocks, 100 steps a second", {
	skip,
}, async (t) => {
	const load = { numSeqs: 256, numBlocks: 8192, numSteps: 450 };
	const [events, app] = await Promise.all([recordLoad(load), buildStage()]);
	const lines = events.map((event) => JSON.stringify(event));
	const site = await serveApp(
		new Map([...app, ["events.json", JSON.stringify(lines)]]),
	);
	const page = await (browser as Browser).newPage({
		viewport: { width: 1600, height: 1000 },
	});
	try {
		const errors: string[] = [];
		page.on("pageerror", (error) => errors.push(String(error)));
		await page.goto(site.url);
		const reports = await page.evaluate(
			(pace) =>
				(
					globalThis as unknown as {
						measure(pace: Pace): Promise<FrameReport[]>;
					}
				).measure(pace),
			{ ...PACE, url: `${site.url}events.json` },
		);
		assert.deepEqual(errors, []);
		for (const { numFrames, numSteps, seconds, ...rest } of reports)
			t.diagnostic(
				`${(numFrames / seconds).toFixed(1)} frames/s (${rest.idleFramesPerSecond.toFixed(1)} with nothing to draw), longest ${rest.longestMs.toFixed(0)} ms, ${(numSteps / seconds).toFixed(1)} steps/s`,
			);
		const best = reports[reports.length - 1];
		const rate = best.numFrames / best.seconds;
		const steps = best.numSteps / best.seconds;
		assert.ok(steps > 0.8 * PACE.stepsPerSecond, `steps came at ${steps}/s`);
		assert.ok(rate >= LEAST_FRAMES_PER_SECOND, `${rate} frames a second`);
		const text = await page.locator('[data-figure="running"]').innerText();
		assert.match(text, /25\d/);
	} finally {
		await page.close();
		await site.close();
	}
});

async function buildStage(): Promise<BuiltApp> {
	const { outputFiles } = await build({
		entryPoints: {
			stage: fileURLToPath(new URL("inspector-stage.tsx", import.meta.url)),
		},
		bundle: true,
		minify: true,
		format: "esm",
		target: "es2022",
		jsx: "automatic",
		jsxImportSource: "preact",
		outdir: "/",
		write: false,
		logLevel: "silent",
	});
	const files = outputFiles.map(
		({ path, contents }) => [path.replace(/^.*[\\/]/, ""), contents] as const,
	);
	return new Map<string, Uint8Array | string>([
		...files,
		[
			"index.html",
			'<!doctype html><title>stage</title><link rel="stylesheet" href="stage.css"><body><script type="module" src="stage.js"></script>',
		],
	]);
}
