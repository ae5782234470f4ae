/** What dashboards and routers expect of a vLLM pod: endpoints, metric names, labels and buckets, request ids. After what llm-d's simulator promises. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { LLM } from "../../src/index.ts";
import { loadText } from "../support/text-model.ts";
import { eventsOf, loadDemo, MODEL, post, serve } from "./serving.ts";

let llm: LLM;
let url: string;
before(async () => {
	llm = await loadDemo();
	({ url } = await serve(llm, { version: "1.2.3" }));
});

const get = (path: string) => fetch(url + path);
const json = async (response: Response) => {
	assert.equal(response.status, 200);
	return (await response.json()) as Record<string, unknown>;
};

/** Every name the simulator has, as it is on the wire, and those that other routers read. */
const COUNTERS = [
	"vllm:prompt_tokens_total",
	"vllm:generation_tokens_total",
	"vllm:request_success_total",
	"vllm:num_preemptions_total",
	"vllm:prefix_cache_hits_total",
	"vllm:prefix_cache_queries_total",
	"vllm:gpu_prefix_cache_hits_total",
	"vllm:gpu_prefix_cache_queries_total",
	"vllm:prompt_tokens_cached_total",
	"vllm:admission_rejections_total",
];
const GAUGES = [
	"vllm:num_requests_running",
	"vllm:num_requests_waiting",
	"vllm:num_requests_waiting_by_reason",
	"vllm:kv_cache_usage_perc",
	"vllm:gpu_cache_usage_perc",
	"vllm:cache_config_info",
	"vllm:lora_requests_info",
	"vllm:engine_sleep_state",
];
const HISTOGRAMS = [
	"vllm:time_to_first_token_seconds",
	"vllm:inter_token_latency_seconds",
	"vllm:time_per_output_token_seconds",
	"vllm:request_time_per_output_token_seconds",
	"vllm:e2e_request_latency_seconds",
	"vllm:request_queue_time_seconds",
	"vllm:request_inference_time_seconds",
	"vllm:request_prefill_time_seconds",
	"vllm:request_decode_time_seconds",
	"vllm:request_prompt_tokens",
	"vllm:request_generation_tokens",
	"vllm:request_max_num_generation_tokens",
	"vllm:request_prefill_kv_computed_tokens",
	"vllm:request_params_n",
	"vllm:request_params_max_tokens",
	"vllm:iteration_tokens_total",
];

interface Metrics {
	readonly types: Map<string, string>;
	readonly values: Map<string, number>;
}

/** Prometheus' text format, strictly: every series under its HELP and TYPE, every label quoted. */
async function metrics(): Promise<Metrics> {
	const response = await get("/metrics");
	assert.match(
		response.headers.get("content-type") ?? "",
		/^text\/plain; version=0\.0\.4/,
	);
	const types = new Map<string, string>();
	const values = new Map<string, number>();
	let family = "";
	for (const line of (await response.text()).trimEnd().split("\n")) {
		const [, named, kind] =
			/^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line) ?? [];
		if (named) {
			family = named;
			types.set(named, kind);
		}
		if (line.startsWith("#")) continue;
		const [, series, name, value] =
			/^(([a-z0-9_:]+)\{(?:[a-z_]+="[^"]*",?)+\}) (\S+)$/.exec(line) ?? [];
		assert.ok(series, line);
		assert.ok(name.startsWith(family), line);
		assert.match(series, /\{engine="0",model_name="demo-model"[,}]/);
		assert.ok(!values.has(series), `${series} once`);
		values.set(series, Number(value));
	}
	return { types, values };
}

const LABELS = `engine="0",model_name="${MODEL}"`;
const series = (name: string, more = "") =>
	`${name}{${LABELS}${more && `,${more}`}}`;

test("every metric has its name, kind, labels and buckets", async () => {
	const { types, values } = await metrics();
	for (const [names, kind] of [
		[COUNTERS, "counter"],
		[GAUGES, "gauge"],
		[HISTOGRAMS, "histogram"],
	] as const)
		for (const name of names) assert.equal(types.get(name), kind, name);
	const bounds = (name: string) =>
		[...values.keys()]
			.filter((key) => key.startsWith(`${name}_bucket`))
			.map((key) => /le="([^"]+)"/.exec(key)?.[1]);
	assert.equal(
		bounds("vllm:time_to_first_token_seconds").join(" "),
		"0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1.0 2.5 5.0 7.5 10.0 20.0 40.0 80.0 160.0 640.0 2560.0 +Inf",
	);
	assert.equal(
		bounds("vllm:request_prompt_tokens").join(" "),
		"1.0 2.0 5.0 10.0 20.0 50.0 100.0 200.0 500.0 1000.0 +Inf",
	);
	const config =
		[...values.keys()].find((key) =>
			key.startsWith("vllm:cache_config_info"),
		) ?? "";
	assert.match(config, /block_size="16"/);
	assert.match(config, new RegExp(`num_gpu_blocks="${llm.stats().numBlocks}"`));
});

test("the numbers are those of the requests", async () => {
	const before = await metrics();
	const body = {
		prompt: ["Once upon a time", "The"],
		max_tokens: 5,
		ignore_eos: true,
	};
	const { usage } = (await json(await post(`${url}/v1/completions`, body))) as {
		usage: { prompt_tokens: number };
	};
	await (
		await post(`${url}/v1/completions`, {
			...body,
			prompt: "Once",
			stream: true,
		})
	).text();
	const after = await metrics();
	const grew = (name: string, more?: string) =>
		(after.values.get(series(name, more)) ?? 0) -
		(before.values.get(series(name, more)) ?? 0);
	assert.equal(
		grew("vllm:request_success_total", 'finished_reason="length"'),
		3,
	);
	assert.equal(grew("vllm:generation_tokens_total"), 15);
	assert.equal(grew("vllm:prompt_tokens_total"), usage.prompt_tokens + 1);
	assert.equal(grew("vllm:time_to_first_token_seconds_count"), 3);
	assert.equal(grew("vllm:inter_token_latency_seconds_count"), 12);
	assert.equal(grew("vllm:e2e_request_latency_seconds_count"), 3);
	assert.equal(grew("vllm:request_generation_tokens_sum"), 15);
	assert.equal(grew("vllm:request_params_max_tokens_sum"), 15);
	assert.equal(
		grew("vllm:iteration_tokens_total_sum"),
		12 + usage.prompt_tokens + 1,
	);
	assert.ok(grew("vllm:e2e_request_latency_seconds_sum") > 0);
});

test("probes and facts", async () => {
	for (const path of ["/health", "/health/ready", "/ping"])
		assert.equal((await get(path)).status, 200, path);
	assert.equal((await post(`${url}/ping`, {})).status, 200);
	assert.deepEqual(await json(await get("/version")), { version: "1.2.3" });
	assert.deepEqual(await json(await get("/load")), { server_load: 0 });
	assert.deepEqual(await json(await get("/is_sleeping")), {
		is_sleeping: false,
	});
	const { data } = (await json(await get("/v1/models"))) as { data: object[] };
	assert.deepEqual(Object.keys(data[0]), [
		"id",
		"object",
		"created",
		"owned_by",
		"root",
		"parent",
		"max_model_len",
	]);
});

test("X-Request-Id comes back as it was sent, or is made; ids bear it", async () => {
	const body = { messages: [{ role: "user", content: "hi" }], max_tokens: 1 };
	const sent = await post(`${url}/v1/chat/completions`, body, {
		"x-request-id": "trace-1",
	});
	assert.equal(sent.headers.get("x-request-id"), "trace-1");
	assert.equal((await json(sent)).id, "chatcmpl-trace-1");
	const made = await post(`${url}/v1/chat/completions`, body, {
		"x-request-id": "no {good}",
	});
	assert.match(made.headers.get("x-request-id") ?? "", /^[0-9a-f]{32}$/);
	const refused = await post(
		`${url}/v1/chat/completions`,
		{},
		{ "x-request-id": "trace-2" },
	);
	assert.equal(refused.headers.get("x-request-id"), "trace-2");
});

test("tokenize and detokenize, texts and conversations", async () => {
	const text = "Hello, KV cache";
	const a = await json(
		await post(`${url}/tokenize`, { prompt: text, return_token_strs: true }),
	);
	assert.deepEqual(a.tokens, llm.tokenizer.encode(text));
	assert.deepEqual(
		[a.count, a.max_model_len],
		[llm.tokenizer.encode(text).length, 1024],
	);
	assert.equal((a.token_strs as string[]).length, a.count);
	const b = await json(await post(`${url}/detokenize`, { tokens: a.tokens }));
	assert.equal(b.prompt, text);
	const messages = [{ role: "user", content: text }];
	const c = await json(await post(`${url}/tokenize`, { messages }));
	assert.deepEqual(c.tokens, llm.tokenizer.encode(llm.renderChat(messages)));
	const d = await json(
		await post(`${url}/tokenize`, { messages, continue_final_message: true }),
	);
	assert.equal(llm.tokenizer.decode(d.tokens as number[]).endsWith(text), true);
});

test("vLLM's fields do what they say", async () => {
	const ask = async (fields: object) => {
		const body = {
			prompt: "Once upon a time",
			max_tokens: 6,
			temperature: 0,
			...fields,
		};
		const answer = await json(await post(`${url}/v1/completions`, body));
		return (answer.choices as Record<string, unknown>[])[0];
	};
	const plain = await ask({ return_token_ids: true });
	const ids = plain.token_ids as number[];
	assert.equal(ids.length, 6);
	assert.deepEqual(
		plain.prompt_token_ids,
		llm.tokenizer.encode("Once upon a time"),
	);
	const stopped = await ask({ stop_token_ids: [ids[3]] });
	assert.deepEqual(
		[stopped.finish_reason, stopped.stop_reason],
		["stop", ids[3]],
	);
	const word = llm.tokenizer.tokenText(ids[2]);
	const cut = await ask({ stop: [word], include_stop_str_in_output: true });
	assert.ok((cut.text as string).endsWith(word));
	const forced = await ask({
		allowed_token_ids: [ids[1]],
		return_token_ids: true,
	});
	assert.ok((forced.token_ids as number[]).every((id) => id === ids[1]));
	const scored = await ask({ prompt_logprobs: 1 });
	const [first, second] = scored.prompt_logprobs as (object | null)[];
	assert.equal(first, null);
	assert.ok(Object.values(second ?? {})[0].decoded_token);
	const named = await ask({ logprobs: 1, return_tokens_as_token_ids: true });
	assert.equal(
		(named.logprobs as { tokens: string[] }).tokens[0],
		`token_id:${ids[0]}`,
	);
	const truncated = await ask({
		truncate_prompt_tokens: 2,
		return_token_ids: true,
	});
	assert.equal((truncated.prompt_token_ids as number[]).length, 2);
	assert.equal(
		(await ask({ unknown_field: { a: 1 }, top_k: -1, min_p: null })).text,
		plain.text,
	);
	assert.equal(
		(await ask({ seed: -5, temperature: 2 })).text,
		(await ask({ seed: -5, temperature: 2 })).text,
	);
});

test("streams end with [DONE]; continuous usage counts up", async () => {
	const body = {
		prompt: "Once",
		max_tokens: 3,
		ignore_eos: true,
		stream: true,
		stream_options: { include_usage: true, continuous_usage_stats: true },
	};
	const response = await post(`${url}/v1/completions`, body);
	assert.match(
		response.headers.get("content-type") ?? "",
		/^text\/event-stream/,
	);
	const events = await eventsOf(response);
	assert.equal(events.pop(), "[DONE]");
	const counts = events.map(
		(e) =>
			(e as { usage: { completion_tokens: number } }).usage.completion_tokens,
	);
	assert.deepEqual(counts.slice(0, 3), [1, 2, 3]);
	assert.equal(counts.at(-1), 3);
});

test("the OpenAPI document tells every endpoint and the fields of their bodies", async () => {
	const document = await json(await get("/openapi.json"));
	const paths = document.paths as Record<string, Record<string, unknown>>;
	for (const path of [
		"/v1/chat/completions",
		"/v1/completions",
		"/v1/responses",
		"/tokenize",
		"/detokenize",
		"/v1/load_lora_adapter",
		"/v1/unload_lora_adapter",
	])
		assert.ok(paths[path].post, path);
	for (const path of [
		"/v1/models",
		"/v1/models/{id}",
		"/health",
		"/metrics",
		"/version",
		"/load",
		"/ping",
	])
		assert.ok(paths[path].get, path);
	const text = JSON.stringify(paths["/v1/chat/completions"]);
	for (const field of [
		"messages",
		"top_k",
		"structured_outputs",
		"chat_template_kwargs",
		"cache_salt",
		"priority",
	])
		assert.ok(text.includes(`"${field}"`), field);
});

test("cached prefixes are a salt's own, at every endpoint", async () => {
	const text =
		"Once upon a time there was a cache that nobody could look into.";
	const prompt = `${text} `.repeat(4);
	const ask = async (path: string, cache_salt: string | null) => {
		const messages = [{ role: "user", content: prompt }];
		const body = { prompt, messages, input: prompt, cache_salt };
		const answer = await post(url + path, { ...body, max_tokens: 1 });
		const { usage } = (await json(answer)) as {
			usage: Record<string, { cached_tokens: number } | undefined>;
		};
		const { prompt_tokens_details, input_tokens_details } = usage;
		return (prompt_tokens_details ?? input_tokens_details)?.cached_tokens;
	};
	for (const path of ["/v1/completions", "/v1/chat/completions"]) {
		for (const salt of [null, "tenant", "other"])
			assert.equal(await ask(path, salt), 0, `${path}: ${salt}, first`);
		for (const salt of ["other", "tenant", null])
			assert.ok(Number(await ask(path, salt)) > 0, `${path}: ${salt}, again`);
	}
	assert.ok(Number(await ask("/v1/responses", "tenant")) > 0);
	assert.equal(await ask("/v1/responses", "third"), 0);
	const wrong = await post(`${url}/v1/completions`, { prompt, cache_salt: "" });
	const { error } = (await wrong.json()) as { error: { param: string } };
	assert.deepEqual([wrong.status, error.param], [400, "cache_salt"]);
});

test("the longest list of prompts, in order", async () => {
	const prompt = Array.from({ length: 2048 }, (_, i) => [i % 900, 5]);
	const body = { prompt, max_tokens: 1, return_token_ids: true };
	await using small = await loadText({ maxNumSeqs: 256 });
	const { url: other } = await serve(small);
	const answer = await json(await post(`${other}/v1/completions`, body));
	const choices = answer.choices as { prompt_token_ids: number[] }[];
	assert.deepEqual(
		choices.map((choice) => choice.prompt_token_ids),
		prompt,
	);
});
