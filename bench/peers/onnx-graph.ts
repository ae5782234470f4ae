/** Grows an ONNX graph node by node, with seeded random weights. Knows no model. */
import type {
	OnnxAttribute,
	OnnxGraph,
	OnnxNode,
	OnnxTensor,
	OnnxValue,
} from "./onnx-writer.ts";
import { createWords } from "./random-words.ts";

/** What ONNX Runtime computes weights from on a CPU: floats, or blocks of 32 along K with a float scale each. */
export const ONNX_FORMATS = ["f32", "q8_0", "q4_0"] as const;
export type OnnxFormat = (typeof ONNX_FORMATS)[number];

export const BLOCK = 32;
const BITS = { q8_0: 8, q4_0: 4 } as const;
/** Activations in 8-bit integers: what makes its quantized products fast. */
const INT8_ACTIVATIONS = 4;

type Attributes = Readonly<Record<string, OnnxAttribute>>;

export interface Graph {
	input(value: OnnxValue): void;
	output(value: OnnxValue): void;
	/** Each adds one thing and returns its name; of several outputs, the first's. */
	tensor(
		name: string,
		type: OnnxTensor["type"],
		shape: readonly number[],
		data: OnnxTensor["data"],
	): string;
	node(
		op: string,
		inputs: readonly string[],
		output: string,
		attributes?: Attributes,
	): string;
	/** An op of ONNX Runtime's own. */
	contrib(
		op: string,
		inputs: readonly string[],
		outputs: readonly string[],
		attributes?: Attributes,
	): string;
	readonly random: ReturnType<typeof createPools>;
	finish(): OnnxGraph;
}

export function createGraph(seed: number): Graph {
	const nodes: OnnxNode[] = [];
	const tensors: OnnxTensor[] = [];
	const inputs: OnnxValue[] = [];
	const outputs: OnnxValue[] = [];
	const add = (node: OnnxNode): string => {
		nodes.push(node);
		return node.outputs[0];
	};
	return {
		input: (value) => inputs.push(value),
		output: (value) => outputs.push(value),
		tensor(name, type, shape, data) {
			tensors.push({ name, type, shape, data });
			return name;
		},
		node: (op, inputs, output, attributes = {}) =>
			add({ op, domain: "", inputs, outputs: [output], attributes }),
		contrib: (op, inputs, outputs, attributes = {}) =>
			add({ op, domain: "com.microsoft", inputs, outputs, attributes }),
		random: createPools(seed),
		finish: () => ({ nodes, tensors, inputs, outputs }),
	};
}

export function floats(
	graph: Graph,
	name: string,
	shape: readonly number[],
	at: (i: number) => number,
): string {
	return graph.tensor(name, "f32", shape, (numBytes) => {
		const values = Float32Array.from({ length: numBytes / 4 }, (_, i) => at(i));
		return [new Uint8Array(values.buffer)];
	});
}

export function integers(
	graph: Graph,
	name: string,
	shape: readonly number[],
	values: readonly number[],
): string {
	const data = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
	return graph.tensor(name, "i64", shape, () => [data]);
}

/** Of the size that keeps the product with `columns` values about as large as they are. */
export function randomFloats(
	graph: Graph,
	name: string,
	shape: readonly number[],
	columns: number,
): string {
	return graph.tensor(name, "f32", shape, (numBytes) =>
		graph.random.floats(columns, numBytes),
	);
}

/** As randomFloats, [rows, columns] in blocks; `shape` is how the op that reads them wants the integers. */
export function randomBlocks(
	graph: Graph,
	name: string,
	shape: readonly number[],
	rows: number,
	columns: number,
	format: keyof typeof BITS,
): { values: string; scales: string } {
	const scale = Math.sqrt(3 / columns) / 2 ** (BITS[format] - 1);
	const perBlock = [rows, columns / BLOCK];
	return {
		values: graph.tensor(name, "u8", shape, graph.random.bytes),
		scales: floats(graph, `${name}.scales`, perBlock, () => scale),
	};
}

/** y[t,o] = Σ_i x[t,i]·w[o,i], w random [rows, columns] in the format. @returns y's name */
export function linear(
	graph: Graph,
	name: string,
	x: string,
	rows: number,
	columns: number,
	format: OnnxFormat,
): string {
	const y = `${name}.out`;
	const weight = `${name}.weight`;
	if (format === "f32") {
		const w = randomFloats(graph, weight, [columns, rows], columns);
		return graph.node("MatMul", [x, w], y);
	}
	const bits = BITS[format];
	const shape = [rows, columns / BLOCK, (BLOCK * bits) / 8];
	const w = randomBlocks(graph, weight, shape, rows, columns, format);
	return graph.contrib("MatMulNBits", [x, w.values, w.scales], [y], {
		K: { int: columns },
		N: { int: rows },
		bits: { int: bits },
		block_size: { int: BLOCK },
		accuracy_level: { int: INT8_ACTIVATIONS },
	});
}

const POOL_BYTES = 2 ** 21;
const PIECE_BYTES = 2 ** 20;

/** Numbers made once; a tensor is slices of them. */
function createPools(seed: number) {
	const random = createWords(seed);
	const words = Uint32Array.from({ length: POOL_BYTES / 4 }, random);
	const floats = new Map<number, Uint8Array>();
	function* slices(pool: Uint8Array, numBytes: number): Generator<Uint8Array> {
		for (let done = 0; done < numBytes; ) {
			const first = (random() % ((POOL_BYTES - PIECE_BYTES) / 4)) * 4;
			const length = Math.min(PIECE_BYTES, numBytes - done);
			yield pool.subarray(first, first + length);
			done += length;
		}
	}
	return {
		bytes: (numBytes: number) => slices(new Uint8Array(words.buffer), numBytes),
		/** 0 ± √3/√columns */
		floats(columns: number, numBytes: number) {
			const spread = Math.sqrt(3 / columns);
			const pool =
				floats.get(columns) ??
				new Uint8Array(
					Float32Array.from(words, (word) => spread * (word / 2 ** 31 - 1))
						.buffer,
				);
			floats.set(columns, pool);
			return slices(pool, numBytes);
		},
	};
}
