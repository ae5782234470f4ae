/** What the Node platform promises of its threads. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

const PLATFORM = new URL("../../src/platform/node.ts", import.meta.url);

/** A program alone with one thread: nothing else keeps the process up. */
const PROGRAM = `
	import { platform } from "${PLATFORM}";
	const url = new URL("data:text/javascript," + encodeURIComponent(
		'import { parentPort } from "node:worker_threads"; parentPort.on("message", () => parentPort.postMessage("up"));'
	));
	const worker = platform.spawnWorker({ url, create: () => { throw new Error("of pages") } }, "start");
	await new Promise((resolve) => worker.onMessage(resolve));
	const ended = worker.terminate();
	worker.setReferenced(false); // as a late answer does
	await ended;
	console.log("ended");
`;

test("a thread that is being ended is awaited, though its owner lets go of it meanwhile", () => {
	const { status, stdout, stderr } = spawnSync(
		process.execPath,
		["--input-type=module", "--eval", PROGRAM],
		{ encoding: "utf8" },
	);
	assert.deepEqual([status, stdout], [0, "ended\n"], stderr);
});
