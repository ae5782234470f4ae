/**
 * Which tile suits a linear op: times every matrix kernel that can be written for a shape and a number of tokens, and prints the
 * fastest beside the one that is chosen today. What linear-matrix-choice.ts says was found with it.
 *   node bench/gpu/tiles.ts [--tokens 64,128,256,8192] [--ops qkv,o,gate_up,down] [--format f16] [--top 6] [--most 160]
 * Weights take turns and are together larger than any cache; runs depend on one another, as a step's do. --most: candidates of a shape
 * at most, the most plausible ones first. Needs subgroup matrices.
 */
import { parseArgs } from "node:util";
import { dispatchOf, inTurn } from "../../src/backends/webgpu/bench/case.ts";
import { createRoom, type Room } from "../../src/backends/webgpu/bench/room.ts";
import { measureMs } from "../../src/backends/webgpu/bench/timer.ts";
import { openGpu } from "../../src/backends/webgpu/device.ts";
import { createKernelCompiler } from "../../src/backends/webgpu/kernel.ts";
import type { LinearShape } from "../../src/backends/webgpu/kernels/linear.ts";
import { linearMatrix } from "../../src/backends/webgpu/kernels/linear-matrix.ts";
import { chooseMatrix } from "../../src/backends/webgpu/kernels/linear-matrix-choice.ts";
import {
	type MatrixTile,
	matrixGrid,
	tileBytes,
	tileFits,
	tileLabel,
	tileSizes,
} from "../../src/backends/webgpu/kernels/linear-matrix-tile.ts";
import {
	type MatrixFormat,
	matrixBytes,
	paddedRows,
	stride,
} from "../../src/backends/webgpu/layout.ts";
import { loadPlatform } from "../../src/platform/detect.ts";

const { values } = parseArgs({
	options: {
		tokens: { type: "string", default: "64,128,256,8192" },
		ops: { type: "string", default: "qkv,o,gate_up,down" },
		format: { type: "string", default: "f16" },
		top: { type: "string", default: "6" },
		most: { type: "string", default: "160" },
	},
});
/** Of Qwen3-0.6B. */
const OPS: Readonly<
	Record<string, Pick<LinearShape, "rows" | "columns" | "epilogue">>
> = {
	qkv: { rows: 4096, columns: 1024, epilogue: "store" },
	o: { rows: 1024, columns: 2048, epilogue: "add" },
	gate_up: { rows: 6144, columns: 1024, epilogue: "gated" },
	down: { rows: 1024, columns: 3072, epilogue: "add" },
};
const WEIGHT_BYTES = 192 * 2 ** 20;

// biome-ignore format: a table
const SUBGROUPS: readonly MatrixTile["subgroups"][] = [
	[1, 4, 1], [2, 2, 1], [4, 1, 1], [1, 2, 2], [2, 1, 2], [1, 1, 4],
	[2, 4, 1], [4, 2, 1], [1, 8, 1], [2, 2, 2], [1, 4, 2], [4, 1, 2], [2, 1, 4], [1, 2, 4],
];
// biome-ignore format: a table
const MATRICES: readonly MatrixTile["matrices"][] = [
	[1, 1], [1, 2], [2, 1], [2, 2], [2, 3], [2, 4], [4, 1], [4, 2], [4, 3], [4, 4],
];

interface Candidate {
	readonly tile: MatrixTile;
	readonly splits: number;
}

const entry = await (await loadPlatform()).gpu();
if (entry === null) throw new Error("no WebGPU here");
const gpu = await openGpu(entry);
const compile = createKernelCompiler(gpu);
const room = createRoom(gpu, compile);
for (const tokens of values.tokens.split(",").map(Number))
	for (const op of values.ops.split(",")) await sweep(op, tokens);
gpu.close();
process.exit(0);

async function sweep(op: string, tokens: number): Promise<void> {
	const { epilogue, rows, columns } = OPS[op];
	const format = values.format as MatrixFormat;
	const shape: LinearShape = {
		rows,
		columns,
		epilogue,
		format,
		storage: "f16",
		bias: false,
		outputStride: stride(epilogue === "gated" ? rows / 2 : rows),
	};
	const chosen = chooseMatrix(shape, tokens, epilogue === "add", gpu.abilities);
	if (chosen === null) throw new Error("no subgroup matrices here");
	const all = candidates(shape, tokens).slice(0, Number(values.most));
	const start = performance.now();
	const buffers = makeBuffers(room, shape, tokens);
	const times: { label: string; us: number }[] = [];
	const compiled = await Promise.all(
		[...all, chosen].map((one) =>
			openCase(room, buffers, shape, tokens, one).catch(() => null),
		),
	);
	const compileMs = performance.now() - start;
	for (const one of compiled) {
		if (one === null) continue;
		const us = 1000 * (await measureMs(gpu, inTurn(one.dispatches), 12));
		times.push({ label: one.label, us });
	}
	room.clear();
	const today = times[times.length - 1];
	const flops = 2 * tokens * rows * columns;
	const line = ({ label, us }: (typeof times)[number]) =>
		`  ${us.toFixed(2).padStart(8)} µs ${(flops / us / 1e6).toFixed(0).padStart(4)} TFLOP/s  ${label}`;
	console.log(
		`${op}, ${tokens} tokens, ${times.length} kernels (compiled in ${(compileMs / 1000).toFixed(1)} s)`,
	);
	console.log(`${line(today)}  ← today`);
	const sorted = times.slice(0, -1).toSorted((a, b) => a.us - b.us);
	for (const one of sorted.slice(0, Number(values.top))) console.log(line(one));
}

/** Tiles with enough workgroups and few enough registers, the most plausible first. */
function candidates(shape: LinearShape, tokens: number): Candidate[] {
	const found: { candidate: Candidate; cost: number }[] = [];
	const splitCounts =
		shape.epilogue === "add" && tokens <= 256 ? [1, 2, 3, 4, 6, 8] : [1];
	for (const subgroups of SUBGROUPS)
		for (const matrices of MATRICES)
			for (const slab of [32, 64, 128])
				for (const buffers of [1, 2] as const)
					for (const ahead of [0, 1, 2, 3])
						for (const splits of splitCounts) {
							const tile = { subgroups, matrices, slab, buffers, ahead };
							const cost = costOf(shape, tokens, { tile, splits });
							if (cost !== null)
								found.push({ candidate: { tile, splits }, cost });
						}
	return found.toSorted((a, b) => a.cost - b.cost).map((f) => f.candidate);
}

/** A guess of time: what a workgroup reads, times the rounds of workgroups that a device of 132 processors takes. null: cannot be. */
function costOf(
	shape: LinearShape,
	tokens: number,
	{ tile, splits }: Candidate,
): number | null {
	const part = partOf(shape, tokens, splits);
	if (!tileFits(part, tile)) return null;
	const bytes = tileBytes(part, tile);
	if (bytes > gpu.abilities.workgroupBytes) return null;
	const sizes = tileSizes(part, tile);
	if (sizes.tokens > Math.max(16, paddedTo16(tokens))) return null;
	const perThread =
		((sizes.tokens + sizes.rows) * tile.slab) / 8 / sizes.threads;
	if (perThread < 1) return null;
	const [m, n] = tile.matrices;
	const registers =
		8 * m * n + 4 * perThread * Math.max(1, tile.ahead) + 8 * (m + 1) + 40;
	if (registers > 250) return null;
	const groups = matrixGrid(part, tile, tokens).reduce((p, x) => p * x);
	const most = Math.min(
		Math.floor((227 * 1024) / (bytes + 1024)),
		Math.floor(65536 / registers / sizes.threads),
		Math.floor(2048 / sizes.threads),
	);
	if (most < 1) return null;
	const perProcessor = Math.ceil(groups / 132);
	const work = sizes.slabs * tile.slab * (sizes.tokens + sizes.rows);
	const waves = Math.ceil(perProcessor / most);
	const hidden = Math.min(perProcessor, most) * Math.max(1, tile.ahead);
	const multiplies = (m * n) / (m + n);
	return (
		perProcessor * work * (1 + 1.5 / multiplies) * (1 + 2 / hidden) +
		waves * 40_000 +
		splits * 10_000
	);
}

function paddedTo16(n: number): number {
	return Math.ceil(n / 16) * 16;
}

function partOf(
	shape: LinearShape,
	tokens: number,
	splits: number,
): LinearShape {
	if (splits === 1) return shape;
	const split = { splits, rows: paddedRows(tokens) };
	return { ...shape, epilogue: "partial", split };
}

function makeBuffers(room: Room, shape: LinearShape, tokens: number) {
	const { values, scales } = matrixBytes(
		shape.format,
		paddedRows(shape.rows) * stride(shape.columns),
	);
	const copies = Math.max(1, Math.ceil(WEIGHT_BYTES / values));
	return {
		x: room.noise(2 * paddedRows(tokens) * stride(shape.columns)),
		output: room.zeros(4 * 8 * paddedRows(tokens) * stride(shape.rows)),
		weights: Array.from({ length: copies }, () => ({
			weight: room.noise(values),
			...(scales > 0 ? { scales: room.noise(scales) } : {}),
		})),
	};
}

async function openCase(
	room: Room,
	{ x, output, weights }: ReturnType<typeof makeBuffers>,
	shape: LinearShape,
	tokens: number,
	{ tile, splits }: Candidate,
) {
	const part = partOf(shape, tokens, splits);
	const kernel = linearMatrix(part, tile);
	const grid = matrixGrid(part, tile, tokens);
	const dispatches = await Promise.all(
		weights.map(async (weight) => [
			await dispatchOf(room, kernel, { x, output, ...weight }, grid),
		]),
	);
	return { label: `${tileLabel(tile)} × ${splits}`, dispatches };
}
