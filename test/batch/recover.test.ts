/** What is left of an output after a crash, and what is none of ours. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { outputLine, recordId } from "../../src/batch/records.ts";
import { recover } from "../../src/batch/recover.ts";
import { bytes, JOB } from "./dummy.ts";

const line = (number: number, jobId = JOB) =>
	outputLine({
		id: recordId(jobId, number),
		custom_id: `né ${number}`,
		response: { status_code: 200, request_id: "r", body: { text: "日本" } },
		error: null,
	});

const sizeOf = (text: string) => new TextEncoder().encode(text).length;

test("a tail cut at any byte is cut off to the last whole line, however the bytes come", async () => {
	const whole = line(3) + line(1);
	const all = new TextEncoder().encode(whole + line(2));
	for (let size = 0; size <= all.length; size++) {
		const cut = all.subarray(0, size);
		async function* chunks() {
			for (let at = 0; at < cut.length; at += 50) yield cut.slice(at, at + 50);
		}
		const { lines, numWholeBytes } = await recover("out", chunks(), JOB);
		const ends = [0, sizeOf(line(3)), sizeOf(whole), all.length];
		const numWhole = ends.filter((end) => end <= size).length - 1;
		assert.equal(lines.size, numWhole, `${size} bytes`);
		assert.equal(numWholeBytes, ends[numWhole]);
	}
});

test("zeros, or a line of ours broken in its middle: the file counts from before them", async () => {
	const zeros = "\0".repeat(100);
	for (const broken of [
		zeros,
		`${zeros}\n${line(9)}`,
		`${line(2).slice(0, 60)}\n${line(4)}`,
	]) {
		const { lines, numWholeBytes } = await recover(
			"out",
			bytes(line(1), broken),
			JOB,
		);
		assert.deepEqual([lines.size, lines.has(1)], [1, true]);
		assert.equal(numWholeBytes, sizeOf(line(1)));
	}
});

test("another job's file, somebody's file, and one that two runs wrote are refused", async () => {
	const files = [
		line(1, "ba9876543210"),
		line(1) + line(2, "ba9876543210"),
		"hello",
		"{\n}\n",
		"\n",
		"ÿþ",
		`${line(1)}notes of mine\n`,
		'{"id":7}\n',
	];
	for (const text of files)
		await assert.rejects(recover("out.jsonl", bytes(text), JOB), {
			code: "invalid_option",
			message: /out\.jsonl, line \d, was not written for this input/,
		});
	await assert.rejects(recover("out.jsonl", bytes(line(5), line(5)), JOB), {
		message: /line 2: .*_5 is there twice/,
	});
});
