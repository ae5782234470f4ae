/**
 * What the server costs: the same requests through the library and through HTTP, in turns, 32 streams at once.
 * `node bench/server.ts [MODEL] [ROUNDS]`; a MODEL without weights gets random ones, in q8_0. Clients are a process of their own.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { listen } from "../src/cli/http-server.ts";
import { distributionOf, generateLoad } from "../src/cli/load-generator.ts";
import { LLM } from "../src/index.ts";
import { createApp } from "../src/server/app.ts";

const NUM_STREAMS = 32;
const NUM_REQUESTS = 64;
const INPUT_LEN = 64;
const OUTPUT_LEN = 64;

const [model = "demo-model", rounds = "3"] = process.argv.slice(2);
const isDummy = model.includes("configs");
await using llm = await LLM.load(model, {
	device: "cpu",
	maxNumSeqs: NUM_STREAMS,
	...(isDummy && {
		loadFormat: "dummy",
		quantization: "q8_0",
		skipTokenizerInit: true,
		maxModelLen: 1024,
	}),
});

interface Figures {
	/** Of this process, all threads: what remains comparable on a machine that others use. */
	readonly cpuMsPerToken: number;
	readonly outputTokensPerSecond: number;
	readonly interTokenLatencyMs: { readonly mean: number; readonly p99: number };
}

const params = {
	maxTokens: OUTPUT_LEN,
	ignoreEos: true,
	temperature: 0.6,
	detokenize: !isDummy,
};

async function timed(
	run: () => Promise<Omit<Figures, "cpuMsPerToken">>,
): Promise<Figures> {
	const before = process.cpuUsage();
	const figures = await run();
	const { user, system } = process.cpuUsage(before);
	const cpuMsPerToken = (user + system) / 1000 / (NUM_REQUESTS * OUTPUT_LEN);
	return { ...figures, cpuMsPerToken };
}

async function library(seed: number): Promise<Omit<Figures, "cpuMsPerToken">> {
	const gaps: number[] = [];
	const start = performance.now();
	const shape = {
		requestRate: Infinity,
		maxConcurrency: NUM_STREAMS,
		random: Math.random,
		signal: new AbortController().signal,
	};
	await generateLoad(NUM_REQUESTS, shape, async (i) => {
		const promptTokenIds = Array.from(
			{ length: INPUT_LEN },
			(_, at) => (seed * 7919 + i * 104_729 + at * 31) % 1000,
		);
		let last = 0;
		for await (const { tokenIds } of llm.stream({ promptTokenIds }, params)) {
			if (tokenIds.length === 0) continue;
			const now = performance.now();
			if (last > 0) gaps.push(now - last);
			last = now;
		}
	});
	const seconds = (performance.now() - start) / 1000;
	const interTokenLatencyMs = distributionOf(gaps) ?? { mean: 0, p99: 0 };
	return {
		outputTokensPerSecond: (NUM_REQUESTS * OUTPUT_LEN) / seconds,
		interTokenLatencyMs,
	};
}

const file = join(mkdtempSync(join(tmpdir(), "bench-")), "figures.json");

async function overHttp(
	url: string,
	seed: number,
): Promise<Omit<Figures, "cpuMsPerToken">> {
	const args = [
		"bench",
		"serve",
		"--base-url",
		url,
		"--num-prompts",
		`${NUM_REQUESTS}`,
		"--max-concurrency",
		`${NUM_STREAMS}`,
		"--input-len",
		`${INPUT_LEN}`,
		"--output-len",
		`${OUTPUT_LEN}`,
		"--num-warmup",
		"0",
		"--max-token-id",
		"999",
		"--seed",
		`${seed}`,
		"--json",
		file,
	];
	const main = join(import.meta.dirname, "../src/cli/main.ts");
	await new Promise<void>((resolve, reject) => {
		const child = spawn(process.execPath, [main, ...args], {
			stdio: ["ignore", "ignore", "inherit"],
		});
		child.on("error", reject);
		child.on("close", (code) =>
			code === 0 ? resolve() : reject(new Error(`exit code ${code}`)),
		);
	});
	return JSON.parse(readFileSync(file, "utf8"));
}

const app = createApp(llm, { servedModelName: [basename(model)] });
const server = await listen(app.fetch, {
	host: "127.0.0.1",
	port: 0,
	uds: null,
});
await library(0);
const rows: [Figures, Figures][] = [];
for (let round = 1; round <= Number(rounds); round++) {
	const row: [Figures, Figures] = [
		await timed(() => library(round)),
		await timed(() => overHttp(server.address, round + 1000)),
	];
	rows.push(row);
	const [own, http] = row.map(
		(f) =>
			`${f.outputTokensPerSecond.toFixed(1)} tok/s, ${f.interTokenLatencyMs.mean.toFixed(2)} ms between tokens, ${f.cpuMsPerToken.toFixed(3)} ms of CPU each`,
	);
	console.log(`library ${own} · server ${http}`);
}
const mean = (of: (row: [Figures, Figures]) => number) =>
	rows.reduce((sum, row) => sum + of(row), 0) / rows.length;
console.log(
	JSON.stringify({
		model: basename(model),
		streams: NUM_STREAMS,
		throughputRatio: mean(
			([own, http]) => http.outputTokensPerSecond / own.outputTokensPerSecond,
		),
		addedMsPerToken: mean(
			([own, http]) =>
				http.interTokenLatencyMs.mean - own.interTokenLatencyMs.mean,
		),
		addedCpuMsPerToken: mean(
			([own, http]) => http.cpuMsPerToken - own.cpuMsPerToken,
		),
	}),
);
await server.close();
