/**
 * A Qwen3 model with seeded random weights as an ONNX file: the graph that onnxruntime-genai's builder makes for CPUs, with the
 * last token's greedy choice at its end.
 *   node bench/peers/write-onnx.ts --dir DIR [--model bench/configs/qwen3-0.6b] [--format q8_0] [--seed 0]
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type ModelConfig, parseModelConfig } from "../../src/models/config.ts";
import {
	BLOCK,
	createGraph,
	floats,
	type Graph,
	integers,
	linear,
	ONNX_FORMATS,
	type OnnxFormat,
	randomBlocks,
	randomFloats,
} from "./onnx-graph.ts";
import { type OnnxGraph, writeOnnxFile } from "./onnx-writer.ts";

export const isOnnxFormat = (name: string): name is OnnxFormat =>
	(ONNX_FORMATS as readonly string[]).includes(name);

/** Rows of the rotary tables: longer sequences than anything measured here. */
const MAX_POSITIONS = 4096;

/** The file's path in `directory`; written only where it is not there yet. */
export async function ensureOnnx(
	directory: string,
	model: string,
	format: OnnxFormat,
	seed = 0,
): Promise<string> {
	const name = basename(resolve(model));
	const path = join(directory, `${name}-${format}-seed${seed}.onnx`);
	if (existsSync(path)) return path;
	mkdirSync(directory, { recursive: true });
	const text = readFileSync(join(model, "config.json"), "utf8");
	const config = parseModelConfig(JSON.parse(text));
	if (config.architecture !== "Qwen3ForCausalLM" || !config.tieWordEmbeddings)
		throw new Error(
			`${model}: wanted Qwen3 with tied embeddings, got ${config.architecture}`,
		);
	await writeOnnxFile(path, decoder(config, format, seed));
	return path;
}

function decoder(
	config: ModelConfig,
	format: OnnxFormat,
	seed: number,
): OnnxGraph {
	const graph = createGraph(seed);
	const { numLayers, numKvHeads, headDim, hiddenSize } = config;
	const batch = ["batch"];
	graph.input({ name: "ids", type: "i64", shape: ["batch", "tokens"] });
	graph.input({ name: "lastPositions", type: "i32", shape: batch });
	graph.input({ name: "contextLen", type: "i32", shape: [] });
	for (let layer = 0; layer < numLayers; layer++)
		for (const part of ["key", "value"]) {
			const shape = ["batch", numKvHeads, "capacity", headDim];
			graph.input({ name: `past.${layer}.${part}`, type: "f32", shape });
			graph.output({ name: `present.${layer}.${part}`, type: "f32", shape });
		}
	graph.output({ name: "next", type: "i64", shape: batch });

	rotaryTables(graph, config);
	integers(graph, "headRows", [3], [0, -1, headDim]);
	integers(graph, "queryRows", [3], [0, -1, config.numHeads * headDim]);
	integers(graph, "keyRows", [3], [0, -1, numKvHeads * headDim]);
	const embed = embedding(graph, config, format);
	let residual = embed.rows;
	let update: string | null = null;
	for (let layer = 0; layer < numLayers; layer++) {
		const at = `layer${layer}`;
		const first = addNorm(graph, `${at}.norm1`, residual, update, config);
		const attended = attention(graph, layer, first.rows, config, format);
		const second = addNorm(
			graph,
			`${at}.norm2`,
			first.residual,
			attended,
			config,
		);
		residual = second.residual;
		update = mlp(graph, `${at}.mlp`, second.rows, config, format);
	}
	const last = integers(graph, "last", [], [-1]);
	const sum = graph.node("Add", [residual, update ?? residual], "sum");
	const axis = { axis: { int: 1 } };
	const row = graph.node("Gather", [sum, last], "lastRow", axis);
	const normed = norm(graph, "norm", row, hiddenSize, config);
	const logits = embed.logits(normed);
	const choice = { axis: { int: -1 }, keepdims: { int: 0 } };
	graph.node("ArgMax", [logits], "next", choice);
	return graph.finish();
}

/** cos and sin of position · θ^(−2i/D), as GroupQueryAttention reads them: f32 [positions, D/2] */
function rotaryTables(graph: Graph, { headDim, rope }: ModelConfig) {
	const half = headDim / 2;
	const angle = (i: number) =>
		Math.floor(i / half) * rope.theta ** (-(i % half) / half);
	const shape = [MAX_POSITIONS, half];
	floats(graph, "cos", shape, (i) => Math.cos(angle(i)));
	floats(graph, "sin", shape, (i) => Math.sin(angle(i)));
}

/** 4-bit models keep embedding and output head at 8 bits, as nano-vllm does. */
function embedding(
	graph: Graph,
	{ vocabSize: rows, hiddenSize: columns }: ModelConfig,
	format: OnnxFormat,
): { rows: string; logits: (x: string) => string } {
	if (format === "f32") {
		const table = randomFloats(graph, "table", [rows, columns], columns);
		const transposed = { transB: { int: 1 } };
		return {
			rows: graph.node("Gather", [table, "ids"], "embedded"),
			logits: (x) => graph.node("Gemm", [x, table], "logits", transposed),
		};
	}
	const shape = [rows, columns];
	const table = randomBlocks(graph, "table", shape, rows, columns, "q8_0");
	return {
		rows: graph.contrib(
			"GatherBlockQuantized",
			[table.values, "ids", table.scales],
			["embedded"],
			{
				bits: { int: 8 },
				block_size: { int: BLOCK },
				gather_axis: { int: 0 },
				quantize_axis: { int: 1 },
			},
		),
		logits: (x) => linear(graph, "head", x, rows, columns, "q8_0"),
	};
}

function attention(
	graph: Graph,
	layer: number,
	x: string,
	config: ModelConfig,
	format: OnnxFormat,
): string {
	const { hiddenSize, numHeads, numKvHeads, headDim } = config;
	const at = `layer${layer}`;
	const queries = numHeads * headDim;
	const keys = numKvHeads * headDim;
	const project = (name: string, rows: number) =>
		linear(graph, `${at}.${name}`, x, rows, hiddenSize, format);
	const headNorm = (name: string, rows: string, shape: string) => {
		const heads = `${at}.${name}`;
		graph.node("Reshape", [rows, "headRows"], heads);
		const normed = norm(graph, `${heads}.norm`, heads, headDim, config);
		return graph.node("Reshape", [normed, shape], `${heads}.rows`);
	};
	const attended = graph.contrib(
		"GroupQueryAttention",
		[
			headNorm("qHeads", project("q", queries), "queryRows"),
			headNorm("kHeads", project("k", keys), "keyRows"),
			project("v", keys),
			`past.${layer}.key`,
			`past.${layer}.value`,
			"lastPositions",
			"contextLen",
			"cos",
			"sin",
		],
		[`${at}.attended`, `present.${layer}.key`, `present.${layer}.value`],
		{
			num_heads: { int: numHeads },
			kv_num_heads: { int: numKvHeads },
			scale: { f32: headDim ** -0.5 },
			do_rotary: { int: 1 },
		},
	);
	return linear(graph, `${at}.o`, attended, hiddenSize, queries, format);
}

function mlp(
	graph: Graph,
	at: string,
	x: string,
	{ hiddenSize, intermediateSize }: ModelConfig,
	format: OnnxFormat,
): string {
	const gate = `${at}.gate`;
	linear(graph, gate, x, intermediateSize, hiddenSize, format);
	const up = `${at}.up`;
	linear(graph, up, x, intermediateSize, hiddenSize, format);
	graph.node("Sigmoid", [`${gate}.out`], `${gate}.sigmoid`);
	graph.node("Mul", [`${gate}.out`, `${gate}.sigmoid`], `${gate}.silu`);
	graph.node("Mul", [`${gate}.silu`, `${up}.out`], `${at}.product`);
	return linear(
		graph,
		`${at}.down`,
		`${at}.product`,
		hiddenSize,
		intermediateSize,
		format,
	);
}

/** residual + update, and its RMSNorm; before the first layer there is no update. */
function addNorm(
	graph: Graph,
	at: string,
	residual: string,
	update: string | null,
	config: ModelConfig,
): { rows: string; residual: string } {
	const { hiddenSize } = config;
	if (update === null)
		return { rows: norm(graph, at, residual, hiddenSize, config), residual };
	const weight = floats(graph, `${at}.weight`, [hiddenSize], () => 1);
	const sum = `${at}.sum`;
	const rows = graph.contrib(
		"SkipSimplifiedLayerNormalization",
		[residual, update, weight],
		[`${at}.rows`, "", "", sum],
		{ epsilon: { f32: config.rmsNormEps } },
	);
	return { rows, residual: sum };
}

function norm(
	graph: Graph,
	at: string,
	x: string,
	width: number,
	{ rmsNormEps }: ModelConfig,
): string {
	const weight = floats(graph, `${at}.weight`, [width], () => 1);
	return graph.node("SimplifiedLayerNormalization", [x, weight], `${at}.rows`, {
		axis: { int: -1 },
		epsilon: { f32: rmsNormEps },
		stash_type: { int: 1 },
	});
}

if (import.meta.main) {
	const { values } = parseArgs({
		options: {
			dir: { type: "string" },
			model: { type: "string", default: "bench/configs/qwen3-0.6b" },
			format: { type: "string", default: "q8_0" },
			seed: { type: "string", default: "0" },
		},
	});
	const { dir, model, format, seed } = values;
	if (dir === undefined || !isOnnxFormat(format))
		throw new Error(`wanted --dir DIR --format ${ONNX_FORMATS.join(" | ")}`);
	console.log(await ensureOnnx(dir, model, format, Number(seed)));
}
