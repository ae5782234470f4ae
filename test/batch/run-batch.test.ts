/**
 * A batch over an engine that answers at once: every line once, bad ones told by number, bounds kept, failures clean.
 * NANO_VLLM_BATCH_LINES: lines of the long one (default 30,000).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { LineSet } from "../../src/batch/line-set.ts";
import type { Line } from "../../src/batch/lines.ts";
import type { BatchRecord } from "../../src/batch/records.ts";
import { recover } from "../../src/batch/recover.ts";
import { NanoVllmError } from "../../src/errors.ts";
import {
	answeringWith,
	bytes,
	echo,
	JOB,
	LOAD,
	linesOf,
	memoryFile,
	parsed,
	requestLine,
	runOver,
} from "./dummy.ts";

function garbageCollector(): () => void {
	setFlagsFromString("--expose-gc");
	return runInNewContext("gc");
}

const NUM_LINES = Number(process.env.NANO_VLLM_BATCH_LINES ?? 30_000);

type ErrorRecord = BatchRecord & { line: number };

test("every line that cannot be asked is told by its number and code; the rest is answered", async () => {
	const post = { method: "POST", url: "/v1/completions", body: {} };
	const rows: [line: string, code: string | null, hasOutput: boolean][] = [
		[requestLine("a"), null, true],
		["{broken", "invalid_json", false],
		["[1]", "invalid_line", false],
		["null", "invalid_line", false],
		[JSON.stringify(post), "invalid_custom_id", false],
		[JSON.stringify({ ...post, custom_id: 7 }), "invalid_custom_id", false],
		[requestLine("a", "again"), "duplicate_custom_id", false],
		["  ", null, false],
		[
			JSON.stringify({ ...post, custom_id: "b", method: "GET" }),
			"invalid_method",
			true,
		],
		[
			JSON.stringify({ ...post, custom_id: "c", url: "/v1/embeddings" }),
			"invalid_url",
			true,
		],
		[
			JSON.stringify({ ...post, custom_id: "d", body: [] }),
			"invalid_body",
			true,
		],
		[requestLine("e", "e", { stream: true }), "stream_not_supported", true],
		[requestLine("f", "x".repeat(20_000)), "invalid_line", false],
		[requestLine("b", "b"), "duplicate_custom_id", false],
		[requestLine("__proto__", "ü"), null, true],
	];
	const text = rows.map(([line]) => line).join("\r\n");
	const { errors, output, progress } = await runOver(linesOf(text));
	const told = parsed<ErrorRecord>(errors.text);
	assert.deepEqual(
		told.map(({ line, error }) => [line, error?.code]),
		rows.flatMap(([, code], i) => (code === null ? [] : [[i + 1, code]])),
	);
	const ids = parsed<BatchRecord>(output.text).map(({ id }) =>
		Number(id.split("_")[3]),
	);
	assert.deepEqual(
		ids.sort((a, b) => a - b),
		rows.flatMap(([, , hasOutput], i) => (hasOutput ? [i + 1] : [])),
	);
	assert.equal(progress.numLines, rows.length);
	assert.equal(progress.numFailed, told.length);
});

test("an answer that is no 200 is in both files; a line of bytes that are no UTF-8 is told", async () => {
	const engine = answeringWith(async () =>
		Response.json({ error: {} }, { status: 400 }),
	);
	async function* lines(): AsyncGenerator<Line> {
		yield* linesOf(requestLine("a"));
		const place = { number: 2, start: 0, end: 0, isWhole: true, numBytes: 3 };
		yield { ...place, text: null };
	}
	const { output, errors } = await runOver(lines(), { engine });
	const [{ response, error }] = parsed<BatchRecord>(output.text);
	assert.deepEqual([response?.status_code, error], [400, null]);
	assert.deepEqual(
		parsed<ErrorRecord>(errors.text)
			.map((e) => e.line)
			.sort(),
		[1, 2],
	);
});

test(`${NUM_LINES} lines: memory stays flat, in flight stays bounded, each is answered once`, async (t) => {
	async function* many(): AsyncGenerator<Line> {
		for (let number = 1; number <= NUM_LINES; number++) {
			const text = requestLine(
				`request-${number}`,
				`${"p".repeat(5000)}${number % 97}`,
			);
			const numBytes = text.length;
			yield { number, start: 0, end: 0, isWhole: true, text, numBytes };
		}
	}
	const done = new LineSet();
	const collect = garbageCollector();
	const heldBytes = () => {
		collect();
		const { heapUsed, external } = process.memoryUsage();
		return heapUsed + external;
	};
	let peak = 0;
	let nextLook = NUM_LINES / 8;
	const sink = {
		async append(text: string) {
			for (const { id } of parsed<BatchRecord>(text))
				assert.ok(done.add(Number(id.split("_")[3])));
			if (done.size < nextLook) return;
			nextLook += NUM_LINES / 8;
			peak = Math.max(peak, heldBytes());
		},
	};
	const before = heldBytes();
	const { progress } = await runOver(many(), { output: sink });
	assert.equal(done.size, NUM_LINES);
	assert.equal(progress.numDone, NUM_LINES);
	assert.ok(
		progress.maxInFlight <= LOAD.maxNumSeqs + 2,
		`${progress.maxInFlight}`,
	);
	const grown = (peak - before) / 2 ** 20;
	t.diagnostic(`${grown.toFixed(1)} MiB more`);
	assert.ok(peak > 0 && grown < 60, `${grown} MiB more`); // 30,000 lines and their bodies are 300 MB
});

test("a full disk stops the run with its error; what was written before is kept, and the next run does the rest", async () => {
	const text = Array.from({ length: 500 }, (_, i) => requestLine(`r${i}`)).join(
		"\n",
	);
	const disk = memoryFile();
	const full = {
		async append(group: string) {
			const room = 20_000 - disk.text.length;
			await disk.append(group.slice(0, room));
			if (group.length > room)
				throw new NanoVllmError("output_failed", "ENOSPC: the disk is full");
		},
	};
	const engine = echo(() => new Promise((resolve) => setImmediate(resolve)));
	await assert.rejects(runOver(linesOf(text), { output: full, engine }), {
		code: "output_failed",
	});
	const { lines, numWholeBytes } = await recover("out", bytes(disk.text), JOB);
	assert.ok(lines.size > 0 && lines.size < 500, `${lines.size}`);
	const output = memoryFile();
	output.text = disk.text.slice(0, numWholeBytes);
	const numEarlier = lines.size;
	const { progress } = await runOver(linesOf(text), {
		output,
		answered: lines,
		engine,
	});
	assert.equal(progress.numEarlier, numEarlier);
	const ids = parsed<BatchRecord>(output.text).map((r) => r.custom_id);
	assert.equal(new Set(ids).size, 500);
	assert.equal(ids.length, 500);
});

test("an engine that fails ends the run with its reason, and its last answers are not taken for the requests'", async () => {
	const reason = new NanoVllmError("device_lost", "gone");
	let numAsked = 0;
	const engine = {
		...answeringWith(async () => {
			const isLost = ++numAsked > 3;
			if (isLost) engine.failure = reason;
			return Response.json({}, { status: isLost ? 503 : 200 });
		}),
		credit: () => 1,
		failure: null as NanoVllmError | null,
	};
	const text = Array.from({ length: 20 }, (_, i) => requestLine(`r${i}`)).join(
		"\n",
	);
	const output = memoryFile();
	await assert.rejects(runOver(linesOf(text), { engine, output }), reason);
	assert.ok(
		parsed<BatchRecord>(output.text).every(
			(r) => r.response?.status_code === 200,
		),
	);
});

test("an interrupt ends the run at once with its reason, and what was answered is on the disk", async () => {
	const controller = new AbortController();
	const reason = new NanoVllmError("aborted", "interrupted.");
	let numAsked = 0;
	const engine = echo(async () => {
		if (++numAsked <= 5) return;
		setImmediate(() => controller.abort(reason));
		await new Promise(() => {});
	});
	const text = Array.from({ length: 50 }, (_, i) => requestLine(`r${i}`)).join(
		"\n",
	);
	const output = memoryFile();
	const { signal } = controller;
	await assert.rejects(
		runOver(linesOf(text), { engine, output, signal }),
		reason,
	);
	assert.equal(parsed(output.text).length, 5);
	await assert.rejects(runOver(linesOf(text), { signal }), reason);
});
