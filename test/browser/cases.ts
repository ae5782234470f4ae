/**
 * The side of the browser: the WebGPU backend's op cases and golden checkpoints, each run when the test asks for it. Bundled by
 * bundle.ts, with assert.ts in place of Node's.
 */
import { createWebgpuBackend } from "../../src/backends/webgpu/backend.ts";
import { LLM, type LoadOptions } from "../../src/index.ts";
import { runCase, runNaNCase } from "../support/backend-case.ts";
import { GOLDEN_LOAD, worstScore } from "../support/golden-case.ts";
import { WEBGPU_CASES } from "../support/webgpu-cases.ts";

/** Places in WEBGPU_CASES, in its bounds, and in MODELS; of the last null: the case of NaN logits. */
export interface OpCaseJob {
	readonly kind: number;
	readonly bound: number;
	readonly model: number | null;
}

/** @returns the largest difference of a logprob */
async function runOpCase({ kind, bound, model }: OpCaseJob): Promise<number> {
	const { quantization, bounds } = WEBGPU_CASES[kind];
	const { gpu } = navigator;
	const backend = createWebgpuBackend({
		gpu,
		quantization,
		dtype: "auto",
		yieldToEventLoop: null,
	});
	if (model !== null)
		return runCase(backend, model, bounds[bound], { ahead: false });
	await runNaNCase(backend, bounds[bound]);
	return 0;
}

export interface GoldenJob {
	readonly url: string;
	readonly load: LoadOptions;
}

/** @returns the largest difference of a logprob */
async function scoreGolden({ url, load }: GoldenJob): Promise<number> {
	const { cases } = await (await fetch(`${url}/golden.json`)).json();
	const options = { device: "webgpu", ...GOLDEN_LOAD, ...load } as const;
	await using llm = await LLM.load(url, options);
	return await worstScore(llm, cases);
}

Object.assign(globalThis, { runOpCase, scoreGolden });
