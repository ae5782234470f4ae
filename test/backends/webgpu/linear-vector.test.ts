/** The matrix-vector kernel against f64 loops: formats, epilogues, tokens, fused norm, every way to share the work. */
import { after, before, test } from "node:test";
import type { Gpu } from "../../../src/backends/webgpu/device.ts";
import type {
	Epilogue,
	LinearShape,
} from "../../../src/backends/webgpu/kernels/linear.ts";
import { linearVector } from "../../../src/backends/webgpu/kernels/linear-vector.ts";
import {
	type VectorOptions,
	vectorGrid,
} from "../../../src/backends/webgpu/kernels/linear-vector-plan.ts";
import { openTestGpu } from "../../support/webgpu.ts";
import { checkLinear, shapeOf } from "../../support/webgpu-linear.ts";

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

const PLAIN: VectorOptions = {
	tokens: 1,
	rowsPerTeam: 2,
	subgroupsPerTeam: 2,
	threads: 64,
	unroll: 1,
	normEps: null,
};
const FORMATS = ["f16", "f32", "q8_0", "q4_0"] as const;
const EPILOGUES = ["store", "add", "gated", "logits"] as const;
/** Gated ones have pairs of rows. */
const SHAPES = [
	[2, 1],
	[6, 5],
	[34, 31],
	[130, 257],
	[34, 1024],
];
const TOKENS = [1, 2, 3, 1, 4, 2, 1, 7];

function check(
	name: string,
	shape: LinearShape,
	options: VectorOptions,
	numTokens: number,
	lanes?: number,
): void {
	test(`linear_vector ${name}`, async () => {
		const abilities = {
			...gpu.abilities,
			subgroupSize: lanes ?? gpu.abilities.subgroupSize,
		};
		await checkLinear(gpu, {
			shape,
			kernel: linearVector(shape, options, abilities),
			grid: vectorGrid(shape, options, abilities),
			numTokens,
			normEps: options.normEps,
		});
	});
}

let number = 0;
for (const format of FORMATS)
	for (const storage of ["f16", "f32"] as const)
		for (const epilogue of EPILOGUES)
			for (const bias of [false, true]) {
				const [evenRows, columns] = SHAPES[number % SHAPES.length];
				const rows = epilogue === "gated" ? evenRows : evenRows - 1;
				const numTokens = TOKENS[number++ % TOKENS.length];
				const tokens = 2 ** Math.ceil(Math.log2(numTokens));
				const shape = shapeOf({
					rows,
					columns,
					format,
					storage,
					epilogue,
					bias,
				});
				check(
					`${format} ${storage} ${epilogue}${bias ? "+bias" : ""} ${rows}x${columns}, ${numTokens} tokens`,
					shape,
					{ ...PLAIN, tokens },
					numTokens,
				);
			}

const shapeFor = (
	format: LinearShape["format"],
	epilogue: Epilogue,
	rows: number,
	columns: number,
) => shapeOf({ rows, columns, format, storage: "f16", epilogue, bias: false });

for (const format of FORMATS)
	for (const [epilogue, numTokens] of [
		["store", 1],
		["gated", 2],
		["logits", 1],
		["store", 4],
	] as const)
		for (const columns of [33, 400])
			check(
				`with norm, ${format} ${epilogue} 66x${columns}, ${numTokens} tokens`,
				shapeFor(format, epilogue, 66, columns),
				{ ...PLAIN, tokens: numTokens, normEps: 1e-6 },
				numTokens,
			);

for (const format of FORMATS)
	for (const [rowsPerTeam, subgroupsPerTeam, threads, unroll] of [
		[1, 1, 32, 1],
		[4, 1, 32, 2],
		[8, 4, 128, 1],
		[1, 16, 256, 3],
		[4, 2, 256, 1],
	]) {
		const options = {
			...PLAIN,
			rowsPerTeam,
			subgroupsPerTeam,
			threads,
			unroll,
		};
		check(
			`${JSON.stringify(options)} ${format}`,
			shapeFor(format, "store", 67, 1600),
			options,
			1,
		);
	}

for (const format of FORMATS)
	for (const [tokens, normEps] of [
		[1, null],
		[1, 1e-5],
		[8, null],
	] as const)
		check(
			`no subgroups, ${format}, ${tokens} tokens${normEps ? " with norm" : ""}`,
			shapeFor(format, "gated", 130, 257),
			{ ...PLAIN, tokens, normEps, subgroupsPerTeam: 16, threads: 64 },
			tokens,
			1,
		);
