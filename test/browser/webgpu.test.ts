/**
 * The webgpu device in a real Chromium, on SwiftShader: the library on a page and in a worker against Node's answers, op cases of
 * every kind of weights against the reference, and the golden checkpoints. Unlike in Node, robustness and zeroed workgroup memory are on.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { LLM, type LoadOptions } from "../../src/index.ts";
import { describeModel, describeTypes } from "../support/backend-case.ts";
import { GOLDEN_FOLDER } from "../support/golden.ts";
import { WEBGPU_CASES } from "../support/webgpu-cases.ts";
import { bundle } from "./bundle.ts";
import type { GoldenJob, OpCaseJob } from "./cases.ts";
import { launchChromium } from "./chromium.ts";
import type { Answer, Job, Report } from "./entry.ts";
import { browserOrReason, callOnPage } from "./page.ts";

/** The last one: SwiftShader takes half a second to compile a kernel whose workgroup memory it shall zero by itself; the kernel does. */
const FLAGS = [
	"--enable-unsafe-webgpu",
	"--use-webgpu-adapter=swiftshader",
	"--disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension",
];
const modelFolder = fileURLToPath(new URL("../../demo-model", import.meta.url));
const MAX_TOKENS = 16;
/** Kernels for longer steps are the op cases' business: each takes a while to compile here. */
const SHORT_STEPS = { maxNumBatchedTokens: 32, maxNumSeqs: 8 };
const PROMPTS = ["Once upon a time, there was a rabbit named", "A KV cache is"];
/** Of the op cases, all of which Node runs, a few of each kind of weights: places in MODELS, and null for the case of NaN logits. */
const CASES: Readonly<Record<string, readonly (number | null)[]>> = {
	"f32 weights, f16 cache": [9],
	"bf16 weights, f16 cache": [5, null],
	"bf16 weights as q8_0, f16 cache": [3],
	"f32 weights as q4_0, f16 cache": [6],
};
const describeCase = (model: number | null) =>
	model === null ? "NaN logits" : describeModel(model);
/** As in Node: see test/backends/webgpu/golden.test.ts. */
const GOLDEN_TOLERANCE = 0.04;

const browser = await browserOrReason(() => launchChromium(FLAGS));
const skip = typeof browser === "string" && `no browser: ${browser}`;
const limits = { skip, timeout: 60_000 };

let scripts: ReadonlyMap<string, Uint8Array | string>;
let expected: readonly Answer[];

before(async () => {
	if (skip) return;
	const cases = await bundle("cases", { "node:assert/strict": "./assert.ts" });
	scripts = new Map([...(await bundle("entry")), ...cases]);
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
	load: LoadOptions,
): Promise<Report> {
	const folders = { model: modelFolder };
	return callOnPage<Report>(browser as Browser, {
		site: { files: scripts, folders, isolated: false },
		script: "entry",
		name,
		job: (origin): Job => ({
			modelUrl: `${origin}/model`,
			prompts: PROMPTS,
			maxTokens: MAX_TOKENS,
			regex: "[a-z]{3}-[0-9]{2}",
			load,
		}),
	});
}

for (const where of ["runOnPage", "runInWorker"] as const) {
	const place = where === "runOnPage" ? "on a page" : "in a worker";
	test(`webgpu ${place}: the bundled model`, limits, async (t) => {
		const it = await report(where, { device: "webgpu", ...SHORT_STEPS });
		assert.equal(it.device, "webgpu");
		assert.deepEqual(it.batched, expected);
		const { numDeltas, ...streamed } = it.streamed;
		assert.deepEqual(streamed, expected[0]);
		assert.ok(numDeltas > 1, `${numDeltas} deltas`);
		assert.equal(it.missing, "model_not_found");
		assert.equal(it.abortedLoad, "no more");
		assert.equal(it.abortedRequest, "enough");
		assert.equal(it.numRequestsLeft, 0);
		assert.equal(it.closed, "engine_closed");
		t.diagnostic(
			`${it.userAgent.match(/\S*Chrome\S*/)}: load ${it.loadMs.toFixed()} ms, ${PROMPTS.length} prompts ${it.batchMs.toFixed()} ms`,
		);
	});
}

test(
	"auto takes the cpu where the only adapter is software",
	limits,
	async () => {
		const it = await report("runOnPage", { device: "auto" });
		assert.equal(it.device, "cpu");
		assert.deepEqual(it.batched, expected);
	},
);

function runOpCase(job: OpCaseJob): Promise<number> {
	return callOnPage<number>(browser as Browser, {
		site: { files: scripts, folders: {}, isolated: false },
		script: "cases",
		name: "runOpCase",
		job: () => job,
	});
}

for (const [kind, { bounds }] of WEBGPU_CASES.entries())
	for (const [bound, one] of bounds.entries()) {
		const types = describeTypes(one);
		for (const model of CASES[types])
			test(
				`webgpu in Chromium, ${types}: ${describeCase(model)}`,
				limits,
				async (t) => {
					const worst = await runOpCase({ kind, bound, model });
					t.diagnostic(`largest difference: ${worst.toExponential(1)}`);
				},
			);
	}

for (const name of readdirSync(GOLDEN_FOLDER))
	test(
		`webgpu in Chromium, ${name}: golden texts scored`,
		limits,
		async (t) => {
			const worst = await callOnPage<number>(browser as Browser, {
				site: {
					files: scripts,
					folders: { golden: GOLDEN_FOLDER },
					isolated: false,
				},
				script: "cases",
				name: "scoreGolden",
				job: (origin): GoldenJob => ({
					url: `${origin}/golden/${name}`,
					load: SHORT_STEPS,
				}),
			});
			t.diagnostic(`largest difference: ${worst.toExponential(1)}`);
			assert.ok(worst <= GOLDEN_TOLERANCE, `${worst}`);
		},
	);
