/** Where rows of a weight lie on the device. Needs none. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
	placedRows,
	placeOfRow,
	placesOfRows,
	type RowLayout,
} from "../../../src/backends/webgpu/row-layout.ts";

const LAYOUTS: readonly RowLayout[] = [
	{ count: 1, rows: 7, pitch: 7, interleaved: false },
	{ count: 1, rows: 10, pitch: 10, interleaved: true },
	{ count: 3, rows: 5, pitch: 128, interleaved: false },
	{ count: 4, rows: 6, pitch: 128, interleaved: true },
];

test("every row has a place of its own, gates beside their ups, experts apart", () => {
	for (const layout of LAYOUTS) {
		const { count, rows, pitch, interleaved } = layout;
		const places = Array.from({ length: count * rows }, (_, row) =>
			placeOfRow(layout, row),
		);
		assert.equal(new Set(places).size, places.length);
		assert.ok(Math.max(...places) < placedRows(layout));
		for (const [row, place] of places.entries()) {
			assert.equal(Math.floor(place / pitch), Math.floor(row / rows));
			const i = row % rows;
			if (!interleaved) assert.equal(place % pitch, i);
			else if (i < rows / 2) assert.equal(places[row + rows / 2], place + 1);
		}
	}
});

test("the places of some rows are all within what is said of them", () => {
	for (const layout of LAYOUTS) {
		const all = layout.count * layout.rows;
		for (let row = 0; row < all; row++)
			for (let count = 1; row + count <= all; count++) {
				const [start, end] = placesOfRows(layout, row, count);
				for (let r = row; r < row + count; r++) {
					const place = placeOfRow(layout, r);
					assert.ok(start <= place && place < end, `row ${r}`);
				}
				assert.ok(end <= placedRows(layout));
			}
	}
});
