/**
 * The engine in a worker of a page, in a real Chromium: the same answers as LLM in Node, one batch for all who ask, and what the page hears when
 * the worker ends.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import type { WorkerLLM } from "../../src/browser.ts";
import { LLM } from "../../src/index.ts";
import { launchChromium } from "./chromium.ts";
import { browserOrReason } from "./page.ts";
import { DEMO_MODEL, modelWorker, type Visit, visit } from "./site.ts";

const PROMPTS = ["Once upon a time", "A KV cache is"];
const GREEDY = { temperature: 0, maxTokens: 24 };
const QUESTION = [{ role: "user", content: "Is 7 prime?" }];

const browser = await browserOrReason(launchChromium);
const skip = typeof browser === "string" && `no browser: ${browser}`;
const limits = { skip, timeout: 60_000 };
after(async () => {
	if (typeof browser !== "string") await browser.close();
});

const onPage = async (
	isolated: boolean,
	use: (visit: Visit) => Promise<void>,
) => {
	const it = await visit(browser as Browser, isolated);
	try {
		await use(it);
	} finally {
		await it.close();
	}
};

test("a worker answers as LLM does", limits, async () => {
	await using llm = await LLM.load(DEMO_MODEL, { device: "cpu" });
	const wanted = {
		generated: (await llm.generate(PROMPTS, { ...GREEDY, logprobs: 1 })).map(
			textOf,
		),
		chatted: (await llm.chat(QUESTION, GREEDY)).map(textOf),
		rendered: llm.renderChat(QUESTION),
		ids: llm.tokenizer.encode("Hello there"),
		text: llm.tokenizer.decode([260, 300, 78]),
		maxModelLen: llm.maxModelLen,
		modelConfig: JSON.parse(JSON.stringify(llm.modelConfig)),
	};
	await onPage(true, async ({ page, origin }) => {
		const got = await page.evaluate(
			async ([url, prompts, greedy, question]) => {
				const { WorkerLLM } = nano;
				const bytes: number[] = [];
				await using llm = await WorkerLLM.load(url, {
					device: "cpu",
					threads: 2,
					cache: false,
					onProgress: ({ loadedBytes }) => bytes.push(loadedBytes),
				});
				const generated = await llm.generate(prompts, {
					...greedy,
					logprobs: 1,
				});
				const chatted = await llm.chat(question, greedy);
				let streamed = "";
				let numDeltas = 0;
				const deltas = llm.streamChat(question, greedy);
				let result = await deltas.next();
				for (; !result.done; result = await deltas.next()) {
					streamed += result.value.text;
					numDeltas++;
				}
				const ids = await llm.tokenizer.encode("Hello there");
				return {
					generated,
					chatted,
					streamed,
					numDeltas,
					returned: result.value.outputs[0].text,
					rendered: await llm.renderChat(question),
					ids,
					text: await llm.tokenizer.decode([260, 300, 78]),
					device: llm.device,
					deviceReason: llm.deviceReason,
					maxModelLen: llm.maxModelLen,
					modelConfig: JSON.parse(JSON.stringify(llm.modelConfig)),
					hasProgress: bytes.length > 0 && bytes.at(-1) === Math.max(...bytes),
				};
			},
			[`${origin}/model`, PROMPTS, GREEDY, QUESTION] as const,
		);
		assert.deepEqual(got.generated.map(textOf), wanted.generated);
		assert.deepEqual(got.chatted.map(textOf), wanted.chatted);
		const [{ text }] = wanted.chatted;
		assert.equal(got.streamed, text);
		assert.equal(got.returned, text);
		assert.ok(got.numDeltas > 1);
		assert.equal(got.rendered, wanted.rendered);
		assert.deepEqual(got.ids, wanted.ids);
		assert.equal(got.text, wanted.text);
		assert.equal(got.device, "cpu");
		assert.match(got.deviceReason, /asked for; 2 threads/);
		assert.equal(got.maxModelLen, wanted.maxModelLen);
		assert.deepEqual(got.modelConfig, wanted.modelConfig);
		assert.ok(got.hasProgress);
		const left = () => page.workers().map((worker) => worker.url());
		for (let i = 0; left().length > 0 && i < 100; i++)
			await page.waitForTimeout(20);
		assert.deepEqual(left(), [], "closing ends the worker");
	});
});

function textOf(output: {
	outputs: { text: string; tokenIds: number[]; logprobs: unknown }[];
}) {
	const [{ text, tokenIds }] = output.outputs;
	return { text, tokenIds };
}

test(
	"requests of a page share one batch; errors and aborts cross as they are; one thread without isolation",
	limits,
	() =>
		onPage(false, async ({ page, origin }) => {
			const got = await page.evaluate(
				async ([url, greedy]) => {
					const { WorkerLLM, NanoVllmError } = nano;
					const codeOf = async (work: () => Promise<unknown>) => {
						try {
							await work();
							return "no error";
						} catch (error) {
							if (error instanceof NanoVllmError) return error.code;
							return (error as Error).message;
						}
					};
					const load = { device: "auto", cache: false } as const;
					const missing = await codeOf(() =>
						WorkerLLM.load(`${url}-absent`, load),
					);
					const abortedLoad = await codeOf(() => {
						const controller = new AbortController();
						const { signal } = controller;
						const onProgress = () => controller.abort(new Error("no more"));
						return WorkerLLM.load(url, { ...load, signal, onProgress });
					});
					const llm = await WorkerLLM.load(url, load);
					const eight = Array.from({ length: 8 }, (_, i) =>
						llm.generate(`Number ${i}:`, { ...greedy, ignoreEos: true }),
					);
					await Promise.all(eight);
					const batched = await llm.stats();
					const endless = { ...greedy, ignoreEos: true, maxTokens: 900 };
					const aborted = await codeOf(() => {
						const controller = new AbortController();
						const { signal } = controller;
						const progress = () => controller.abort(new Error("enough"));
						return llm.generate("A", endless, { signal, progress });
					});
					for await (const _ of llm.stream("A", endless)) break;
					const invalid = await codeOf(() => llm.generate(""));
					const unsendable = await codeOf(() =>
						llm.generate((() => {}) as unknown as string),
					);
					const after = await llm.stats();
					await llm.close();
					return {
						missing,
						abortedLoad,
						numStepsOfEight: batched.numStepsBySize[3],
						aborted,
						invalid,
						unsendable,
						numLeft: after.numRequestsRunning + after.numRequestsWaiting,
						closed: await codeOf(() => llm.generate("A")),
						reason: llm.deviceReason,
					};
				},
				[`${origin}/model`, GREEDY] as const,
			);
			assert.equal(got.missing, "model_not_found");
			assert.equal(got.abortedLoad, "no more");
			assert.ok(
				got.numStepsOfEight >= GREEDY.maxTokens - 8,
				`${got.numStepsOfEight} steps of 5 to 8 tokens`,
			);
			assert.equal(got.aborted, "enough");
			assert.equal(got.invalid, "invalid_prompt");
			assert.equal(got.unsendable, "invalid_option");
			assert.equal(got.numLeft, 0);
			assert.equal(got.closed, "engine_closed");
			assert.match(got.reason, /no WebGPU: .*; one thread: .*isolated/);
		}),
);

test(
	"who listens hears the engine's events; it can be paused and stepped",
	limits,
	() =>
		onPage(true, async ({ page, origin }) => {
			const got = await page.evaluate(async (url) => {
				await using llm = await nano.WorkerLLM.load(url, {
					device: "cpu",
					threads: 1,
					cache: false,
				});
				const types: string[] = [];
				const stop = llm.observe(({ type }) => types.push(type));
				await llm.pause();
				const answer = llm.generate("Once", { maxTokens: 3, ignoreEos: true });
				await llm.step();
				const numStepsPaused = (await llm.stats()).numSteps;
				const typesPaused = [...types];
				await llm.resume();
				await answer;
				const numSteps = (await llm.stats()).numSteps;
				stop();
				await llm.stats();
				const heard = types.length;
				await llm.generate("Once", { maxTokens: 3 });
				return {
					typesPaused,
					types: types.slice(0, heard),
					numStepsPaused,
					numSteps,
					numLate: types.length - heard,
				};
			}, `${origin}/model`);
			const steps = (types: readonly string[]) =>
				types.filter((type) => type === "step").length;
			assert.equal(got.typesPaused[0], "snapshot");
			assert.ok(got.typesPaused.includes("pause"));
			assert.equal(got.numStepsPaused, 1);
			assert.equal(steps(got.typesPaused), 1);
			assert.equal(steps(got.types), got.numSteps);
			assert.equal(got.types.at(-1), "end");
			assert.equal(got.numLate, 0);
		}),
);

/** Starts an endless request, has `end` take the worker away, and tells what the page heard; then loads and asks once more. */
async function lose(
	page: Page,
	url: string,
	end: () => Promise<unknown>,
	load: Record<string, unknown> = { device: "cpu", threads: 1 },
	script?: string,
) {
	await page.evaluate(
		async ([url, load, script]) => {
			const createWorker = script
				? () => new Worker(script, { type: "module" })
				: undefined;
			const llm = await nano.WorkerLLM.load(url, {
				...load,
				createWorker,
				cache: false,
			});
			const endless = { ignoreEos: true, maxTokens: 900 };
			const pending = llm.generate("Once", endless).then(
				() => "answered",
				(error) => error.code,
			);
			await llm.stream("Twice", endless).next();
			Object.assign(globalThis, { llm, pending });
		},
		[url, load, script] as const,
	);
	await end();
	return page.evaluate(
		async ([url, load]) => {
			type Held = { llm: WorkerLLM; pending: Promise<string> };
			const { llm, pending } = globalThis as unknown as Held;
			const { code, message } = await llm.lost;
			const after = await llm.generate("A").catch((error) => error.code);
			await llm.close();
			await using next = await nano.WorkerLLM.load(url, {
				...load,
				cache: false,
			});
			const [{ outputs }] = await next.generate("A", { maxTokens: 2 });
			return {
				lost: code,
				message,
				pending: await pending,
				after,
				failure: llm.failure?.code,
				numTokens: outputs[0].tokenIds.length,
			};
		},
		[url, load] as const,
	);
}

const ENDS = {
	"an error nobody caught": () => {
		setTimeout(() => {
			throw new Error("boom");
		});
	},
	"a promise nobody awaited": () => void Promise.reject(new Error("boom")),
	"its own end": () => self.close(),
};

for (const [name, end] of Object.entries(ENDS))
	test(
		`a worker lost by ${name}: who waits is told, and a new load works`,
		limits,
		() =>
			onPage(true, async ({ page, origin }) => {
				const url = `${origin}/model`;
				const got = await lose(page, url, () =>
					modelWorker(page).evaluate(end),
				);
				assert.deepEqual(
					{ ...got, message: undefined },
					{
						lost: "worker_lost",
						message: undefined,
						pending: "worker_lost",
						after: "worker_lost",
						failure: "worker_lost",
						numTokens: 2,
					},
				);
				assert.match(got.message, /load the model again/);
			}),
	);

test("a worker that cannot be started says so", limits, () =>
	onPage(true, async ({ page, origin }) => {
		const code = await page.evaluate(
			(url) =>
				nano.WorkerLLM.load(url, {
					createWorker: () => new Worker("/absent.js", { type: "module" }),
				}).then(
					() => "loaded",
					(error) => error.code,
				),
			`${origin}/model`,
		);
		assert.equal(code, "worker_lost");
	}),
);

test(
	"webgpu in a worker: a lost device is told, also while nothing runs",
	limits,
	async () => {
		const gpu = await launchChromium([
			"--enable-unsafe-webgpu",
			"--use-webgpu-adapter=swiftshader",
			"--disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension",
		]);
		const { page, origin, close } = await visit(gpu);
		try {
			const got = await page.evaluate(async (url) => {
				const createWorker = () =>
					new Worker("/frail-worker.js", { type: "module" });
				const llm = await nano.WorkerLLM.load(url, {
					device: "webgpu",
					maxNumBatchedTokens: 16,
					maxNumSeqs: 4,
					cache: false,
					createWorker,
				});
				Object.assign(globalThis, { llm });
				const params = { temperature: 0, maxTokens: 6 };
				const [{ outputs }] = await llm.generate("Once upon a time", params);
				return { tokenIds: outputs[0].tokenIds, device: llm.device };
			}, `${origin}/model`);
			await using llm = await LLM.load(DEMO_MODEL, { device: "cpu" });
			const params = { temperature: 0, maxTokens: 6 };
			const [{ outputs }] = await llm.generate("Once upon a time", params);
			assert.deepEqual(got, {
				tokenIds: outputs[0].tokenIds,
				device: "webgpu",
			});
			await modelWorker(page).evaluate("loseDevices()");
			const lost = await page.evaluate(async () => {
				const { llm } = globalThis as unknown as { llm: WorkerLLM };
				const { code } = await llm.lost;
				const after = await llm.generate("A").catch((error) => error.code);
				return [code, after];
			});
			assert.deepEqual(lost, ["device_lost", "device_lost"]);
		} finally {
			await close();
			await gpu.close();
		}
	},
);
