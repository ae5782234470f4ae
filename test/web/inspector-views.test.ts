/** What the inspector's pictures are painted from: lanes, the moment watched, blocks and their prefixes, over events of a real engine. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { EngineEvent } from "../../src/index.ts";
import {
	blockAt,
	gridOf,
	numBlocksDrawn,
} from "../../web/src/inspector/blocks-picture.ts";
import { describeStep, listed } from "../../web/src/inspector/describe.ts";
import { createFrames } from "../../web/src/inspector/frames.ts";
import { stepAt } from "../../web/src/inspector/steps-picture.ts";
import {
	blockFacts,
	blockPrefix,
	blocksView,
	queueView,
	sequenceWords,
	stepsView,
} from "../../web/src/inspector/views.ts";
import { Watch } from "../../web/src/inspector/watch.ts";
import { recordLoad } from "./busy-engine.ts";

const events = await recordLoad({ numSeqs: 12, numBlocks: 200, numSteps: 200 });

/** Frames come when the test says so. */
function watchOf(told: readonly EngineEvent[], maxBytes?: number) {
	const asked: ((ms: number) => void)[] = [];
	const watch = new Watch({
		requestFrame: (call) => asked.push(call),
		maxBytes,
	});
	for (const event of told) watch.push(event);
	const frame = (ms: number) => {
		for (const call of asked.splice(0)) call(ms);
	};
	return { watch, frame };
}

test("a painter asked for many times paints once a frame", () => {
	let frame = () => {};
	let numPaints = 0;
	const frames = createFrames((call) => {
		frame = call;
	});
	const painter = () => {
		numPaints++;
	};
	for (let i = 0; i < 5; i++) frames.ask(painter);
	assert.equal(numPaints, 0);
	frame();
	assert.equal(numPaints, 1);
	frames.ask(painter);
	frames.forget(painter);
	frame();
	assert.equal(numPaints, 1);
});

test("a sequence keeps its lane while it runs, and no two share one", () => {
	const { watch } = watchOf(events);
	assert.equal(watch.columns.length, 200);
	let before = new Map<number, number>();
	for (const { step, lanes } of watch.columns) {
		assert.equal(new Set(lanes).size, lanes.length, `step ${step.step}`);
		const now = new Map<number, number>();
		for (let row = 0; row < lanes.length; row++) {
			const arrival = step.rows.arrival(row);
			now.set(arrival, lanes[row]);
			const isBack = step.admitted.some((it) => it.arrival === arrival);
			if (!isBack && before.has(arrival))
				assert.equal(lanes[row], before.get(arrival));
		}
		before = now;
	}
	assert.ok(watch.numLanes >= 12 && watch.numLanes <= 16);
	assert.ok(
		watch.columns.some(({ preemptedLanes }) => preemptedLanes.length > 0),
	);
});

test("held, the moment stays while events come, and live goes on from all of them", () => {
	const { watch } = watchOf(events.slice(0, 300));
	const index = watch.index;
	watch.freeze();
	const { step } = watch.state ?? { step: -1 };
	for (const event of events.slice(300)) watch.push(event);
	assert.equal(watch.index, index);
	assert.equal(watch.state?.step, step);
	assert.equal(watch.lastColumn()?.step.step, step);
	watch.nudge(-3);
	assert.equal(watch.state?.step, step - 3);
	watch.nudge(1);
	assert.equal(watch.state?.step, step - 2);
	watch.goLive();
	assert.equal(watch.index, watch.history.endIndex - 1);
	assert.equal(watch.state, watch.history.live);
});

test("playing goes as it went, times the speed, and ends held at the latest event", () => {
	const { watch, frame } = watchOf(events);
	const { startMs, endMs } = watch.span;
	watch.goToTime(startMs);
	watch.play(0.5);
	const start = watch.span.atMs;
	frame(1000);
	frame(1000 + (endMs - startMs));
	const half = start + (endMs - startMs) / 2;
	assert.equal(watch.index, watch.history.indexAt(half));
	assert.equal(watch.mode.kind, "playing");
	frame(1000 + 3 * (endMs - startMs));
	assert.equal(watch.mode.kind, "still");
	assert.equal(watch.index, watch.history.endIndex - 1);
});

test("what history forgot is no column any more, and a moment held there moves to the oldest kept", () => {
	const { watch } = watchOf(events.slice(0, 50), 200_000);
	watch.freeze();
	for (const event of events.slice(50)) watch.push(event);
	const { firstIndex } = watch.history;
	assert.ok(firstIndex > 50);
	assert.ok(watch.columns[0].index >= firstIndex);
	assert.equal(watch.index, firstIndex);
	assert.ok(watch.state);
});

test("a step and a lane under the pointer", () => {
	const { watch } = watchOf(events);
	const view = stepsView(watch, 10);
	const last = watch.lastColumn();
	const height = 68 + 14 + 16 * 10;
	const hit = stepAt(
		view,
		500,
		height,
		499,
		68 + 10 * (last?.lanes[2] ?? 0) + 5,
	);
	assert.equal(hit?.column, last);
	assert.equal(hit?.arrival, last?.step.rows.arrival(2));
	assert.equal(
		stepAt(view, 500, height, 485, 0)?.column.step.step,
		(last?.step.step ?? 0) - 1,
	);
	assert.equal(stepAt(view, 5000, height, 1, 0), null);
});

test("every block is held by whom it says, and its prefix is the table of its holder", () => {
	const { watch } = watchOf(events);
	const { state } = watch;
	assert.ok(state);
	const view = blocksView(watch, 200);
	assert.equal(view.numDrawn, 200);
	let numShared = 0;
	for (const [arrival, { blockTable }] of state.sequences)
		blockTable.forEach((block, i) => {
			const facts = blockFacts(watch, block);
			assert.ok(facts?.holders.includes(arrival));
			assert.equal(facts?.numReferences, view.numReferences(block));
			if (facts && facts.numReferences > 1) numShared++;
			const prefix = blockPrefix(state, block);
			assert.equal(prefix?.chain.length, i + 1);
			assert.equal(prefix?.chain.at(-1)?.block, block);
			assert.equal(prefix?.isWhole, true);
		});
	assert.ok(numShared > 0, "some blocks are shared");
});

test("a free block that holds a cached prefix tells its tokens and how far back it is there", () => {
	const { watch } = watchOf(events);
	const { state } = watch;
	assert.ok(state);
	const free = [...Array(200).keys()].filter(
		(block) =>
			state.blocks.numReferences[block] === 0 &&
			state.blocks.isCached[block] === 1,
	);
	assert.ok(free.length > 0);
	for (const block of free) {
		const prefix = blockPrefix(state, block);
		assert.equal(prefix?.tokenIds.length, 16);
		assert.ok((prefix?.contentId ?? 0) > 0);
		assert.equal(prefix?.chain.at(-1)?.block, block);
	}
});

test("a sequence pointed at lights its blocks alone; a queue tells all", () => {
	const { watch } = watchOf(events);
	const [arrival] = watch.state?.running ?? [];
	watch.point(arrival);
	const view = blocksView(watch, 200);
	const table = watch.state?.sequences.get(arrival)?.blockTable ?? [];
	const lit = [...Array(200).keys()].filter((block) => view.isFocused(block));
	assert.deepEqual(
		lit,
		[...table].sort((a, b) => a - b),
	);
	assert.ok(view.hasFocus);
	const running = queueView(watch, "running");
	assert.equal(running.entries.length, watch.state?.running.length);
	assert.equal(running.focus, arrival);
	const waiting = queueView(watch, "waiting");
	assert.equal(
		waiting.entries.length + waiting.numMore,
		watch.state?.numWaiting,
	);
	assert.match(
		sequenceWords(watch, arrival),
		/^Sequence #\d+ runs: prompt of /,
	);
	assert.match(sequenceWords(watch, 1e6), /not there/);
});

test("a step in words", () => {
	const { watch } = watchOf(events);
	const column = watch.columns.find(({ step }) => step.preempted.length > 0);
	assert.ok(column);
	const text = describeStep(column.step, 2048);
	assert.match(text, /^Step \d+: [\d,]+ of 2,048 tokens; \d+ decodes?; /);
	assert.match(text, /preempted #\d+/);
	assert.equal(listed(["a", "b"]), "a, b");
	assert.equal(listed([..."abcdefgh"]), "a, b, c, d, e, f and 2 more");
});

test("the map's cells are as large as fit, and a point finds its block", () => {
	for (const [numDrawn, width, height] of [
		[128, 600, 460],
		[8192, 760, 460],
		[65_536, 320, 200],
	]) {
		const grid = gridOf(numDrawn, width, height);
		assert.ok(grid.cell * grid.numColumns <= width);
		assert.ok(grid.numRows * grid.numColumns >= numDrawn);
		const block = numDrawn - 1;
		const x = (block % grid.numColumns) * grid.cell + 1;
		const y = Math.floor(block / grid.numColumns) * grid.cell + 1;
		assert.equal(blockAt(grid, numDrawn, x, y), block);
		assert.equal(blockAt(grid, numDrawn, width + 100, y), null);
		assert.equal(blockAt(grid, numDrawn, 0, grid.numRows * grid.cell), null);
	}
});

test("a large pool is drawn as far as it was used", () => {
	assert.equal(numBlocksDrawn(16_384, 90, false), 128);
	assert.equal(numBlocksDrawn(16_384, 300, false), 512);
	assert.equal(numBlocksDrawn(16_384, 9000, false), 16_384);
	assert.equal(numBlocksDrawn(200, 3, false), 200);
	assert.equal(numBlocksDrawn(16_384, 3, true), 16_384);
	assert.equal(numBlocksDrawn(1_000_000, 0, true), 65_536);
});
