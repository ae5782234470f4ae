/**
 * The matrix products of Qwen3-0.6B alone: our CPU kernels beside ONNX Runtime's MatMulNBits and MatMul, same shapes, formats and
 * threads, in turn. Ours are timed as the engine runs them, with norm, activation or addition; theirs without. Beside quantized
 * weights theirs round activations to 8 bits; ours do where the processor has eight-bit dot products. Either way the weights
 * are more than the caches hold.
 */
import {
	type KernelFormat,
	type KernelRow,
	LINEAR_SHAPES,
} from "../../src/backends/kernel-bench.ts";
import { openKernelBench } from "../../src/choose-device.ts";
import { loadPlatform } from "../../src/platform/detect.ts";
import { median } from "./measures.ts";
import { BLOCK, createGraph, linear, type OnnxFormat } from "./onnx-graph.ts";
import { encodeOnnx } from "./onnx-writer.ts";
import { loadOrt } from "./ort.ts";

export interface MatrixOptions {
	readonly formats: readonly OnnxFormat[];
	readonly threads: number;
	readonly numRounds: number;
	readonly revectorize: boolean;
	/** Enough to see that everything works; the figures mean nothing. */
	readonly tiny: boolean;
}

/** Billions of floating-point operations per second, a median over the rounds; a multiply-add counts two. */
export interface MatrixResult {
	readonly shape: string;
	readonly format: KernelFormat;
	readonly tokens: number;
	readonly ours: number;
	readonly onnx: number;
	/** Median of the rounds' ratios. */
	readonly ratio: number;
}

const STREAMED_BYTES = 96 * 2 ** 20;
const MAX_REPEATS = 64;
const NUM_SAMPLES = 5;

export async function measureMatrices(
	options: MatrixOptions,
): Promise<MatrixResult[]> {
	const { formats, threads, numRounds, revectorize, tiny } = options;
	const platform = await loadPlatform();
	const bench = await openKernelBench("cpu", platform);
	const sampleMs = tiny ? 2 : 100;
	const pairs = new Map<string, { row: KernelRow; rounds: Pair[] }>();
	for (let round = 0; round < numRounds; round++) {
		const measured = bench({
			only: ["linear"],
			formats,
			shapes: tiny ? ["o"] : LINEAR_SHAPES.map(({ name }) => name),
			tokens: tiny ? [1, 4] : [1, 16, 256],
			sampleMs,
			threads,
			wasmRevectorize: revectorize,
		});
		for await (const step of measured) {
			if (step.kind !== "row") continue;
			const { row } = step;
			const { kernel, format, tokens, flopsPerSecond } = row;
			const onnx = await onnxFlops(row, threads, sampleMs);
			const pair = { ours: (flopsPerSecond ?? 0) / 1e9, onnx: onnx / 1e9 };
			const name = `${kernel}, ${format}, ${tokens} tokens`;
			console.error(
				`  ${round + 1}/${numRounds} ${name}: ours ${pair.ours.toFixed(1)}, onnx ${pair.onnx.toFixed(1)} GFLOP/s`,
			);
			const known = pairs.get(name)?.rounds ?? [];
			pairs.set(name, { row, rounds: [...known, pair] });
		}
	}
	return [...pairs.values()].map(({ row, rounds }) => ({
		shape: row.kernel,
		format: row.format,
		tokens: row.tokens,
		ours: median(rounds.map(({ ours }) => ours)),
		onnx: median(rounds.map(({ onnx }) => onnx)),
		ratio: median(rounds.map(({ ours, onnx }) => ours / onnx)),
	}));
}

interface Pair {
	readonly ours: number;
	readonly onnx: number;
}

/** Of a graph that is nothing but this product, with one matrix after another. */
async function onnxFlops(
	{ kernel, format, tokens }: KernelRow,
	threads: number,
	sampleMs: number,
): Promise<number> {
	const shape = LINEAR_SHAPES.find(({ name }) => name === kernel);
	if (shape === undefined) throw new Error(`no matrix is called ${kernel}`);
	const { rows, columns } = shape;
	const bytes = rows * columns * BYTES_PER_WEIGHT[format as OnnxFormat];
	const repeats = Math.min(MAX_REPEATS, Math.ceil(STREAMED_BYTES / bytes));
	const graph = createGraph(0);
	graph.input({ name: "x", type: "f32", shape: [tokens, columns] });
	for (let i = 0; i < repeats; i++) {
		const name = linear(
			graph,
			`${i}`,
			"x",
			rows,
			columns,
			format as OnnxFormat,
		);
		graph.output({ name, type: "f32", shape: [tokens, rows] });
	}
	const { outputs, ...rest } = graph.finish();
	const ort = await loadOrt(threads);
	const session = await ort.open(encodeOnnx({ ...rest, outputs }));
	const values = Float32Array.from({ length: tokens * columns }, Math.sin);
	const x = ort.tensor("float32", values, [tokens, columns]);
	// All write to one place, as a layer's activations do.
	const y = ort.tensor("float32", new Float32Array(tokens * rows), [
		tokens,
		rows,
	]);
	const into = Object.fromEntries(outputs.map(({ name }) => [name, y]));
	try {
		const ms = await bestMs(() => session.run({ x }, into), sampleMs);
		return (1000 * 2 * tokens * rows * columns * repeats) / ms;
	} finally {
		await session.release();
	}
}

const BYTES_PER_WEIGHT: Readonly<Record<OnnxFormat, number>> = {
	f32: 4,
	q8_0: 1 + 4 / BLOCK,
	q4_0: 0.5 + 4 / BLOCK,
};

/** As our kernels are timed: the best of five samples, after as long a warm-up. */
async function bestMs(
	run: () => Promise<unknown>,
	sampleMs: number,
): Promise<number> {
	const time = async (count: number) => {
		const start = performance.now();
		for (let i = 0; i < count; i++) await run();
		return performance.now() - start;
	};
	let count = 1;
	let ms = await time(count);
	for (let warmMs = ms; warmMs < sampleMs; warmMs += ms) ms = await time(count);
	count = Math.max(1, Math.ceil(sampleMs / ms));
	let best = Number.POSITIVE_INFINITY;
	for (let i = 0; i < NUM_SAMPLES; i++)
		best = Math.min(best, (await time(count)) / count);
	return best;
}
