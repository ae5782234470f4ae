/**
 * What a batch over NATS costs and how it scales, over a nats-server of its own (apt install nats-server):
 *   node bench/nats.ts [--requests 20000] [--model demo-model] [--prompts 256] [--rounds 3] [--cores 0,1] [--json FILE]
 * dispatch: requests a second through the broker and back where the engine takes no time; goal: at most 1 ms a request.
 * sharing: two workers over one where an engine is 16 places of 100 ms each, so that what is lost is lost by sharing out; goal: 1.9.
 * scale: two equal workers over one, one thread each on a core of its own (--cores, by taskset); goal: 1.9 where broker and collector have cores too.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { LineSet } from "../src/batch/line-set.ts";
import type { Line } from "../src/batch/lines.ts";
import { runBatch } from "../src/batch/run-batch.ts";
import { openBroker } from "../src/nats/broker.ts";
import { openCollection } from "../src/nats/collection.ts";
import { listWorkers } from "../src/nats/presence.ts";
import { PROTOCOL } from "../src/nats/protocol.ts";

const { values } = parseArgs({
	options: {
		requests: { type: "string", default: "20000" },
		model: { type: "string", default: "demo-model" },
		prompts: { type: "string", default: "256" },
		rounds: { type: "string", default: "3" },
		cores: { type: "string", default: "0,1" },
		json: { type: "string" },
	},
});

const PORT = 14_222;
const url = `127.0.0.1:${PORT}`;
const folder = mkdtempSync(join(tmpdir(), "bench-nats-"));
const children: ChildProcess[] = [];
const run = (command: string, ...args: string[]): ChildProcess => {
	const child = spawn(command, args, { stdio: "ignore" });
	children.push(child);
	return child;
};
run("nats-server", "-a", "127.0.0.1", "-p", `${PORT}`, "-js", "-sd", folder);
const nc = await reach();
const broker = await openBroker(nc);

async function reach(): Promise<NatsConnection> {
	for (;;) {
		try {
			return await connect({ servers: url });
		} catch {
			await sleep(100);
		}
	}
}

async function* requests(
	numLines: number,
	bodyOf: (i: number) => object,
): AsyncGenerator<Line> {
	for (let i = 0; i < numLines; i++) {
		const body = bodyOf(i);
		const request = { method: "POST", url: "/v1/completions", body };
		const text = JSON.stringify({ custom_id: `${i}`, ...request });
		const place = { number: i + 1, start: 0, end: 0, isWhole: true };
		yield { ...place, text, numBytes: text.length };
	}
}

let numJobs = 0;

/** @returns seconds from the first line read to the last answer written */
async function timed(
	model: string,
	lines: AsyncIterable<Line>,
): Promise<number> {
	const job = `bench${++numJobs}`;
	const { signal } = new AbortController();
	const answered = new LineSet();
	const collection = await openCollection({
		broker,
		wanted: {
			protocol: PROTOCOL,
			...{ job, jobId: "bench", model, engine: {}, answers: {} },
			...{ ackWaitMs: 30_000, maxDeliveries: 4, numLines: 0 },
			createdAt: new Date().toISOString(),
			state: "running",
		},
		...{ holder: "bench", runId: job, signal },
		isWritten: (line) => answered.has(line),
		now: () => performance.now(),
	});
	const sink = { append: async () => {} };
	const start = performance.now();
	const { numFailed } = await runBatch({
		...{ jobId: "bench", lines, answered, signal, sleep },
		reported: new LineSet(),
		output: sink,
		errors: sink,
		engine: collection.engine,
	});
	const seconds = (performance.now() - start) / 1000;
	await collection.done();
	await collection.close();
	if (numFailed > 0) throw new Error(`${numFailed} failed`);
	return seconds;
}

async function untilThereAre(numWorkers: number): Promise<void> {
	while ((await listWorkers(broker.workers)).length !== numWorkers)
		await sleep(100);
}

const end = (child: ChildProcess) =>
	new Promise((resolve) => {
		child.once("exit", resolve);
		child.kill("SIGTERM");
	});

async function dispatch(): Promise<object> {
	const worker = run(process.execPath, "bench/nats-worker.ts", url, "256");
	await untilThereAre(1);
	const numRequests = Number(values.requests);
	const bodyOf = (i: number) => ({ prompt: `${i} ${"once ".repeat(40)}` });
	await timed("dummy", requests(1000, bodyOf));
	const cpu = process.cpuUsage();
	const seconds = await timed("dummy", requests(numRequests, bodyOf));
	const { user, system } = process.cpuUsage(cpu);
	await end(worker);
	await untilThereAre(0);
	const perRequest = (ms: number) => Number((ms / numRequests).toFixed(4));
	return {
		numRequests,
		requestsPerSecond: Math.round(numRequests / seconds),
		msPerRequest: perRequest(seconds * 1000),
		collectorCpuMsPerRequest: perRequest((user + system) / 1000),
	};
}

async function sharing(): Promise<object> {
	const numRequests = Number(values.requests) / 16;
	const bodyOf = (i: number) => ({ prompt: `${i}` });
	const start = () =>
		run(process.execPath, "bench/nats-worker.ts", url, "16", "100");
	const workers = [start()];
	await untilThereAre(1);
	const one = await timed("dummy", requests(numRequests, bodyOf));
	workers.push(start());
	await untilThereAre(2);
	const two = await timed("dummy", requests(numRequests, bodyOf));
	for (const worker of workers) await end(worker);
	await untilThereAre(0);
	const ideal = (numRequests / 16) * 0.1;
	return {
		numRequests,
		twoOverOne: Number((one / two).toFixed(3)),
		oneOverIdeal: Number((ideal / one).toFixed(3)),
	};
}

/** Workers are loaded and warm when the clock starts. */
async function scale(): Promise<object> {
	const name = basename(values.model);
	const numPrompts = Number(values.prompts);
	const bodyOf = (i: number) => ({
		prompt: `${i} ${"and then there was another one ".repeat(1 + (i % 8))}`,
		max_tokens: 16 + ((i * 37) % 112),
		temperature: 0,
		ignore_eos: true,
	});
	const args = ["--model", values.model, "--device", "cpu", "--threads", "1"];
	const command = [process.execPath, "src/cli/main.ts", "worker", ...args];
	const [first, second] = values.cores.split(",");
	const start = (core: string) =>
		run("taskset", "-c", core, ...command, "--nats", url);
	const ratios: number[] = [];
	const one: number[] = [];
	for (let round = 0; round < Number(values.rounds); round++) {
		const workers = [start(first)];
		await untilThereAre(1);
		await timed(name, requests(32, bodyOf));
		one.push(await timed(name, requests(numPrompts, bodyOf)));
		workers.push(start(second));
		await untilThereAre(2);
		await timed(name, requests(64, bodyOf));
		const two = await timed(name, requests(numPrompts, bodyOf));
		ratios.push(one[round] / two);
		for (const worker of workers) await end(worker);
		await untilThereAre(0);
	}
	const middle = (of: number[]) => of.toSorted((a, b) => a - b)[of.length >> 1];
	return {
		...{ model: name, numPrompts, cores: availableParallelism() },
		secondsOfOne: Number(middle(one).toFixed(2)),
		twoOverOne: Number(middle(ratios).toFixed(3)),
		ratios: ratios.map((ratio) => Number(ratio.toFixed(3))),
	};
}

try {
	const report = {
		dispatch: await dispatch(),
		sharing: await sharing(),
		...(Number(values.rounds) > 0 && { scale: await scale() }),
	};
	console.log(JSON.stringify(report, null, 2));
	if (values.json !== undefined)
		writeFileSync(values.json, `${JSON.stringify(report)}\n`);
} finally {
	await nc.close();
	for (const child of children) child.kill();
	rmSync(folder, { recursive: true, force: true });
}
