/** Weights that are q8_0 or q4_0 already lie in their panels bit for bit, blocks no quantizer would write too. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
	FORMATS,
	PANEL_COLUMNS,
	panelBytes,
} from "../../../src/backends/cpu/format.ts";
import {
	BLOCK_FORMATS,
	decode,
	storedBytes,
} from "../../../src/weights/ggml-blocks.ts";
import { randomBlocks } from "../../support/gguf-files.ts";
import { randomSource } from "../../support/random.ts";
import { eachBuild } from "./kernel-room.ts";

const ROWS = 37;
const COLUMNS = 96;
const DEPTH = COLUMNS / 32;

eachBuild((room) => {
	for (const format of ["q8_0", "q4_0"] as const)
		for (const step of [1, 2])
			test(`${format}, every ${step === 1 ? "" : "second "}panel`, () => {
				const { halves } = BLOCK_FORMATS[format];
				const random = randomSource(step);
				const blocks = randomBlocks(format, ROWS * DEPTH, random, halves);
				room.reset();
				const bytes = panelBytes(format, COLUMNS);
				const panels = room.take(
					Math.ceil(ROWS / PANEL_COLUMNS) * step * bytes,
				);
				const source = room.take(blocks.length);
				new Uint8Array(room.memory.buffer, source, blocks.length).set(blocks);
				const { id } = FORMATS[format];
				const rowBytes = storedBytes(format, COLUMNS);
				const pack = (first: number, count: number) =>
					room.kernels.pack_block_rows(
						id,
						source + first * rowBytes,
						rowBytes,
						count,
						first,
						DEPTH,
						panels,
						bytes,
						step,
					);
				pack(20, ROWS - 20); // in any order
				pack(0, 20);
				const want = decode(blocks, format);
				const target = room.take(COLUMNS * 4);
				for (let row = 0; row < ROWS; row++) {
					const at = panels + Math.floor(row / PANEL_COLUMNS) * step * bytes;
					room.kernels.unpack(id, at, DEPTH, row % PANEL_COLUMNS, target);
					assert.deepEqual(
						room.f32(target, COLUMNS),
						want.subarray(row * COLUMNS, (row + 1) * COLUMNS),
						`row ${row}`,
					);
				}
			});
});
