/** When a step's results are asked for, on a clock that only moves when somebody sleeps or a step runs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
	createPatience,
	noPatience,
} from "../../../src/backends/webgpu/patience.ts";

/** A turn of the event loop takes a tenth of a millisecond; timers are late by `lateMs`. */
function scene(lateMs = 0) {
	let clock = 0;
	const slept: number[] = [];
	const patience = createPatience(
		() => clock,
		async (ms) => {
			slept.push(ms);
			clock += ms + lateMs;
		},
		async () => {
			clock += 0.125;
		},
	);
	/** A step whose results are there at `doneMs`; asking earlier means waiting on the device. */
	const read = (numTokens: number, doneMs: number) =>
		patience.read(numTokens, async () => {
			const waited = Math.max(0, doneMs - clock);
			clock = Math.max(clock, doneMs);
			return waited;
		});
	return { slept, read };
}

test("nobody asks for nine tenths of the time that the last step of as many tokens took", async () => {
	const { slept, read } = scene();
	assert.equal(await read(256, 8), 8);
	assert.equal(await read(250, 16), 0.75);
	assert.deepEqual(slept, [6]);
	// Of another size: nothing is known.
	assert.equal(await read(8192, 56), 40);
	assert.equal(await read(8000, 96), 4);
	assert.deepEqual(slept, [6, 30]);
	// The duration of before, though a longer step lay between.
	assert.equal(await read(256, 104), 0.75);
});

test("steps in flight are read in order, each timed from the end of the one before", async () => {
	const { slept, read } = scene();
	const waited = await Promise.all([read(4, 8), read(4, 16), read(4, 24)]);
	assert.deepEqual(waited, [8, 0.75, 0.75]);
	assert.deepEqual(slept, [6, 6]);
});

test("a step that was held up keeps none behind it waiting", async () => {
	const { slept, read } = scene();
	await read(256, 8);
	await read(256, 16);
	await read(256, 316); // the host was busy with something else
	assert.equal(await read(256, 324), 0.75);
	assert.deepEqual(slept, [6, 6, 6]);
});

test("steps that grow longer are believed after a few", async () => {
	const { read } = scene();
	for (let i = 1; i <= 8; i++) await read(4, 16 * i);
	assert.ok((await read(4, 144)) < 2);
	for (let i = 1; i <= 4; i++) await read(4, 144 + 32 * i);
	assert.ok((await read(4, 304)) < 4);
});

test("short steps are waited for awake", async () => {
	const { slept, read } = scene();
	const waited = [];
	for (let i = 1; i <= 3; i++) waited.push(await read(1, 2 * i));
	assert.deepEqual(waited, [2, 0.125, 0.125]);
	assert.deepEqual(slept, []);
});

test("timers that are late are set earlier, and tried again after a while", async () => {
	const { slept, read } = scene(4);
	for (let i = 1; i <= 40; i++) await read(1, 8 * i);
	assert.ok(slept[0] === 6 && slept[1] <= 3, `slept ${slept}`);
	assert.ok(slept.length > 4);
	const waited = await read(1, 8 * 41);
	assert.ok(waited > 0 && waited <= 1, `waited ${waited}`);
});

test("a step that fails holds up none behind it", async () => {
	const { read } = scene();
	const patience = createPatience(
		() => 0,
		async () => {},
		async () => {},
	);
	const failing = patience.read(1, () => Promise.reject(new Error("lost")));
	const next = patience.read(1, async () => "there");
	await assert.rejects(failing, /lost/);
	assert.equal(await next, "there");
	assert.equal(await read(1, 1), 1);
});

test("hosts that are told ask at once", async () => {
	assert.equal(await noPatience.read(1, async () => 5), 5);
});
