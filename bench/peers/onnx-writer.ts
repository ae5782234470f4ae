/**
 * Writes ONNX models: the few protobuf messages a graph needs, tensors inside the message or in a file beside it.
 * Knows no model. After onnx.proto (onnx/onnx on GitHub) and the protobuf wire format; numbers are fields' numbers there.
 */
import { open, writeFile } from "node:fs/promises";
import { basename } from "node:path";

/** ONNX's numbers of the element types used here. */
const ELEMENT_TYPES = {
	f32: { id: 1, bytes: 4 },
	u8: { id: 2, bytes: 1 },
	i32: { id: 6, bytes: 4 },
	i64: { id: 7, bytes: 8 },
} as const;

export type ElementType = keyof typeof ELEMENT_TYPES;

/** A constant of the graph. */
export interface OnnxTensor {
	readonly name: string;
	readonly type: ElementType;
	readonly shape: readonly number[];
	/** The tensor's bytes, little-endian, in pieces that add up to them. */
	data(numBytes: number): Iterable<Uint8Array>;
}

export interface OnnxNode {
	readonly op: string;
	/** "": ONNX's own */
	readonly domain: "" | "com.microsoft";
	/** "" for one left out. */
	readonly inputs: readonly string[];
	readonly outputs: readonly string[];
	readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

export type OnnxAttribute = { readonly int: number } | { readonly f32: number };

/** An input or output of the graph; a dimension with a name may have any size. */
export interface OnnxValue {
	readonly name: string;
	readonly type: ElementType;
	readonly shape: readonly (number | string)[];
}

export interface OnnxGraph {
	readonly nodes: readonly OnnxNode[];
	readonly tensors: readonly OnnxTensor[];
	readonly inputs: readonly OnnxValue[];
	readonly outputs: readonly OnnxValue[];
}

export function onnxBytes({ type, shape }: OnnxTensor): number {
	return shape.reduce((a, b) => a * b, ELEMENT_TYPES[type].bytes);
}

/** The whole model as one message: less than 2 GiB. */
export function encodeOnnx(graph: OnnxGraph): Uint8Array {
	return join(modelMessage(graph, inPlace));
}

const inPlace = (tensor: OnnxTensor): Fields =>
	bytes(9, [...tensor.data(onnxBytes(tensor))]);

/** Two files: the model at `path`, written last, and its large tensors at `path`.data. */
export async function writeOnnxFile(
	path: string,
	graph: OnnxGraph,
): Promise<void> {
	const location = `${basename(path)}.data`;
	const offsets = new Map<OnnxTensor, number>();
	const file = await open(`${path}.data`, "w");
	try {
		let offset = 0;
		for (const tensor of graph.tensors) {
			const numBytes = onnxBytes(tensor);
			if (numBytes < LARGE_BYTES) continue;
			for (const piece of tensor.data(numBytes)) await file.write(piece);
			offsets.set(tensor, offset);
			const padding = -numBytes & (ALIGNMENT - 1);
			if (padding > 0) await file.write(new Uint8Array(padding));
			offset += numBytes + padding;
		}
	} finally {
		await file.close();
	}
	const place = (tensor: OnnxTensor) => {
		const offset = offsets.get(tensor);
		if (offset === undefined) return inPlace(tensor);
		return [
			...entry(13, "location", location),
			...entry(13, "offset", String(offset)),
			...entry(13, "length", String(onnxBytes(tensor))),
			...int(14, EXTERNAL),
		];
	};
	await writeFile(path, join(modelMessage(graph, place)));
}

/** Shapes and the like must stand in the model itself. */
const LARGE_BYTES = 4096;
const ALIGNMENT = 4096;
const EXTERNAL = 1;
const IR_VERSION = 10;
const OPSETS = [
	["", 21],
	["com.microsoft", 1],
] as const;

/** Encoded fields, one after another. */
type Fields = readonly Uint8Array[];

function modelMessage(
	graph: OnnxGraph,
	placeOf: (tensor: OnnxTensor) => Fields,
): Fields {
	const opsets = OPSETS.flatMap(([domain, version]) =>
		bytes(8, [...text(1, domain), ...int(2, version)]),
	);
	return [
		...int(1, IR_VERSION),
		...bytes(7, [
			...graph.nodes.flatMap((node) => bytes(1, nodeMessage(node))),
			...text(2, "graph"),
			...graph.tensors.flatMap((tensor) =>
				bytes(5, [
					...tensor.shape.flatMap((size) => int(1, size)),
					...int(2, ELEMENT_TYPES[tensor.type].id),
					...text(8, tensor.name),
					...placeOf(tensor),
				]),
			),
			...graph.inputs.flatMap((value) => bytes(11, valueMessage(value))),
			...graph.outputs.flatMap((value) => bytes(12, valueMessage(value))),
		]),
		...opsets,
	];
}

function nodeMessage(node: OnnxNode): Fields {
	return [
		...node.inputs.flatMap((name) => text(1, name)),
		...node.outputs.flatMap((name) => text(2, name)),
		// Outputs are unique, so a node may be called like its first.
		...text(3, node.outputs[0]),
		...text(4, node.op),
		...Object.entries(node.attributes).flatMap(([name, value]) =>
			bytes(5, [...text(1, name), ...attributeValue(value)]),
		),
		...text(7, node.domain),
	];
}

function attributeValue(value: OnnxAttribute): Fields {
	const FLOAT = 1;
	const INT = 2;
	return "int" in value
		? [...int(3, value.int), ...int(20, INT)]
		: [...float(2, value.f32), ...int(20, FLOAT)];
}

function valueMessage({ name, type, shape }: OnnxValue): Fields {
	const sizes = shape.flatMap((size) =>
		bytes(1, typeof size === "number" ? int(1, size) : text(2, size)),
	);
	const tensor = [...int(1, ELEMENT_TYPES[type].id), ...bytes(2, sizes)];
	return [...text(1, name), ...bytes(2, bytes(1, tensor))];
}

const VARINT = 0;
const LENGTH = 2;
const FIXED32 = 5;

const int = (field: number, value: number): Fields => [
	varint((field << 3) | VARINT),
	varint(value),
];

const float = (field: number, value: number): Fields => [
	varint((field << 3) | FIXED32),
	new Uint8Array(Float32Array.of(value).buffer),
];

const bytes = (field: number, content: Fields): Fields => [
	varint((field << 3) | LENGTH),
	varint(lengthOf(content)),
	...content,
];

const text = (field: number, value: string): Fields =>
	bytes(field, [new TextEncoder().encode(value)]);

const entry = (field: number, key: string, value: string): Fields =>
	bytes(field, [...text(1, key), ...text(2, value)]);

/** Seven bits a byte, lowest first; negative numbers as 64 bits. */
function varint(value: number): Uint8Array {
	const result: number[] = [];
	let rest = BigInt.asUintN(64, BigInt(value));
	for (; rest >= 128n; rest >>= 7n) result.push(Number(rest & 127n) | 128);
	result.push(Number(rest));
	return Uint8Array.from(result);
}

const lengthOf = (fields: Fields): number =>
	fields.reduce((sum, { length }) => sum + length, 0);

function join(fields: Fields): Uint8Array {
	const result = new Uint8Array(lengthOf(fields));
	let at = 0;
	for (const field of fields) {
		result.set(field, at);
		at += field.length;
	}
	return result;
}
