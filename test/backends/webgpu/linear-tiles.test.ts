/** The tiled matrix product against f64 loops: formats, epilogues, tiles, shares of K. */
import { after, before, test } from "node:test";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import type { LinearShape } from "../../../src/backends/webgpu/kernels/linear.ts";
import {
	linearTiles,
	type TileOptions,
	tilesGrid,
} from "../../../src/backends/webgpu/kernels/linear-tiles.ts";
import { openTestGpu } from "../../support/webgpu.ts";
import { checkLinear, shapeOf } from "../../support/webgpu-linear.ts";

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

const SMALL = { tokens: 32, rows: 32, threadTokens: 4, threadRows: 4 };
const FORMATS = ["f16", "f32", "q8_0", "q4_0"] as const;
const EPILOGUES = ["store", "add", "gated", "logits", "partial"] as const;
/** Gated ones have pairs of rows. */
const SHAPES = [
	[2, 1],
	[8, 5],
	[34, 31],
	[130, 257],
	[66, 1024],
];
const TOKENS = [9, 1, 33, 65];

function check(shape: LinearShape, tile: TileOptions, numTokens: number): void {
	const kernel = linearTiles(shape, tile);
	test(`${kernel.label}, ${numTokens} tokens`, () =>
		checkLinear(gpu, {
			shape,
			kernel,
			grid: tilesGrid(shape, tile, numTokens),
			numTokens,
			rtol: 4e-6,
		}));
}

let number = 0;
for (const format of FORMATS)
	for (const storage of ["f16", "f32"] as const)
		for (const epilogue of EPILOGUES)
			for (const bias of epilogue === "partial" ? [false] : [false, true]) {
				const [evenRows, columns] = SHAPES[number % SHAPES.length];
				const rows = epilogue === "gated" ? evenRows : evenRows - 1;
				const numTokens = TOKENS[number++ % TOKENS.length];
				const split =
					epilogue === "partial" ? { splits: 3, rows: 128 } : undefined;
				const shape = { rows, columns, format, storage, epilogue, bias };
				check(shapeOf({ ...shape, split }), SMALL, numTokens);
			}

for (const [tokens, rows, threadTokens, threadRows] of [
	[32, 64, 4, 4],
	[64, 64, 8, 4],
	[64, 64, 8, 8],
	[64, 32, 4, 8],
	[32, 128, 8, 8],
])
	check(
		shapeOf({
			rows: 151,
			columns: 331,
			format: "f16",
			storage: "f16",
			epilogue: "store",
			bias: true,
		}),
		{ tokens, rows, threadTokens, threadRows },
		40,
	);
