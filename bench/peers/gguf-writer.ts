/**
 * Writes a GGUF file: header and tensor list first, tensor data after, in whatever pieces it comes. Knows no model, and shares no code
 * with the reader in src/, whose tests use it too. After the specification in ggml's docs/gguf.md.
 */
import { open } from "node:fs/promises";

/** ggml's numbers for the types written here. */
export const GGML_TYPES = {
	f32: { id: 0, blockLength: 1, blockBytes: 4 },
	f16: { id: 1, blockLength: 1, blockBytes: 2 },
	q4_0: { id: 2, blockLength: 32, blockBytes: 18 },
	q4_1: { id: 3, blockLength: 32, blockBytes: 20 },
	q5_0: { id: 6, blockLength: 32, blockBytes: 22 },
	q5_1: { id: 7, blockLength: 32, blockBytes: 24 },
	q8_0: { id: 8, blockLength: 32, blockBytes: 34 },
	q2_k: { id: 10, blockLength: 256, blockBytes: 84 },
	q3_k: { id: 11, blockLength: 256, blockBytes: 110 },
	q4_k: { id: 12, blockLength: 256, blockBytes: 144 },
	q5_k: { id: 13, blockLength: 256, blockBytes: 176 },
	q6_k: { id: 14, blockLength: 256, blockBytes: 210 },
	iq2_xxs: { id: 16, blockLength: 256, blockBytes: 66 },
	iq4_nl: { id: 20, blockLength: 32, blockBytes: 18 },
	iq4_xs: { id: 23, blockLength: 256, blockBytes: 136 },
	bf16: { id: 30, blockLength: 1, blockBytes: 2 },
	mxfp4: { id: 39, blockLength: 32, blockBytes: 17 },
} as const;

export type GgmlType = keyof typeof GGML_TYPES;

export interface GgufTensor {
	readonly name: string;
	readonly type: GgmlType;
	/** As in a checkpoint: the last dimension is the contiguous one. */
	readonly shape: readonly number[];
	/** The tensor's bytes, in pieces that add up to them. */
	data(numBytes: number): Iterable<Uint8Array>;
}

export type GgufValue =
	| { readonly u32: number }
	| { readonly f32: number }
	| { readonly bool: boolean }
	| { readonly string: string }
	| { readonly strings: readonly string[] }
	| { readonly i32s: Int32Array }
	| { readonly f32s: Float32Array }
	/** Any other: the number of its type and its bytes. */
	| { readonly type: number; readonly bytes: Uint8Array };

export interface GgufOptions {
	/** @default 3 */
	readonly version?: number;
	/** Also to be said in metadata general.alignment where it is not 32, the default. */
	readonly alignment?: number;
}

const ALIGNMENT = 32;
const VALUE_TYPES = {
	u32: 4,
	i32: 5,
	f32: 6,
	bool: 7,
	string: 8,
	array: 9,
} as const;

export function tensorBytes({ type, shape }: GgufTensor): number {
	const { blockLength, blockBytes } = GGML_TYPES[type];
	const numElements = shape.reduce((a, b) => a * b, 1);
	return (numElements / blockLength) * blockBytes;
}

export async function writeGgufFile(
	path: string,
	metadata: ReadonlyMap<string, GgufValue>,
	tensors: readonly GgufTensor[],
): Promise<void> {
	const file = await open(path, "w");
	try {
		const head = header(metadata, tensors);
		await file.write(head);
		for (const tensor of tensors) {
			const numBytes = tensorBytes(tensor);
			for (const piece of tensor.data(numBytes)) await file.write(piece);
			const padding = aligned(numBytes) - numBytes;
			if (padding > 0) await file.write(new Uint8Array(padding));
		}
	} finally {
		await file.close();
	}
}

/** The whole file in memory. */
export function ggufBytes(
	metadata: ReadonlyMap<string, GgufValue>,
	tensors: readonly GgufTensor[],
	options: GgufOptions = {},
): Uint8Array<ArrayBuffer> {
	const pieces = [header(metadata, tensors, options)];
	for (const tensor of tensors) {
		const numBytes = tensorBytes(tensor);
		pieces.push(...tensor.data(numBytes));
		const padding = aligned(numBytes, options.alignment) - numBytes;
		pieces.push(new Uint8Array(padding));
	}
	return new Uint8Array(Buffer.concat(pieces));
}

function header(
	metadata: ReadonlyMap<string, GgufValue>,
	tensors: readonly GgufTensor[],
	{ version = 3, alignment = ALIGNMENT }: GgufOptions = {},
): Uint8Array {
	const out = createBytes();
	out.text("GGUF");
	out.u32(version);
	out.u64(tensors.length);
	out.u64(metadata.size);
	for (const [key, value] of metadata) {
		out.string(key);
		writeValue(out, value);
	}
	let offset = 0;
	for (const tensor of tensors) {
		out.string(tensor.name);
		out.u32(tensor.shape.length);
		for (const size of tensor.shape.toReversed()) out.u64(size);
		out.u32(GGML_TYPES[tensor.type].id);
		out.u64(offset);
		offset += aligned(tensorBytes(tensor), alignment);
	}
	return out.finish(alignment);
}

function writeValue(out: Bytes, value: GgufValue): void {
	if ("u32" in value) {
		out.u32(VALUE_TYPES.u32);
		out.u32(value.u32);
	} else if ("f32" in value) {
		out.u32(VALUE_TYPES.f32);
		out.raw(new Uint8Array(Float32Array.of(value.f32).buffer));
	} else if ("bool" in value) {
		out.u32(VALUE_TYPES.bool);
		out.raw(Uint8Array.of(value.bool ? 1 : 0));
	} else if ("string" in value) {
		out.u32(VALUE_TYPES.string);
		out.string(value.string);
	} else if ("strings" in value) {
		out.u32(VALUE_TYPES.array);
		out.u32(VALUE_TYPES.string);
		out.u64(value.strings.length);
		for (const text of value.strings) out.string(text);
	} else if ("type" in value) {
		out.u32(value.type);
		out.raw(value.bytes);
	} else {
		const list = "i32s" in value ? value.i32s : value.f32s;
		out.u32(VALUE_TYPES.array);
		out.u32("i32s" in value ? VALUE_TYPES.i32 : VALUE_TYPES.f32);
		out.u64(list.length);
		out.raw(new Uint8Array(list.buffer, list.byteOffset, list.byteLength));
	}
}

type Bytes = ReturnType<typeof createBytes>;

/** Little-endian numbers and texts, one after another. */
function createBytes() {
	let bytes = new Uint8Array(1 << 16);
	let length = 0;
	const encoder = new TextEncoder();
	/** Where the next `count` bytes go. */
	const grow = (count: number): number => {
		const at = length;
		length += count;
		if (length > bytes.length) {
			const larger = new Uint8Array(2 * length);
			larger.set(bytes);
			bytes = larger;
		}
		return at;
	};
	const raw = (piece: Uint8Array) => {
		// Growing may replace the array: first the place, then the array.
		const at = grow(piece.length);
		bytes.set(piece, at);
	};
	const text = (value: string) => raw(encoder.encode(value));
	const u64 = (value: number) => {
		const at = grow(8);
		new DataView(bytes.buffer).setBigUint64(at, BigInt(value), true);
	};
	return {
		raw,
		text,
		u64,
		u32(value: number) {
			const at = grow(4);
			new DataView(bytes.buffer).setUint32(at, value, true);
		},
		string(value: string) {
			const encoded = encoder.encode(value);
			u64(encoded.length);
			raw(encoded);
		},
		finish(alignment: number) {
			grow(aligned(length, alignment) - length);
			return bytes.subarray(0, length);
		},
	};
}

function aligned(bytes: number, alignment = ALIGNMENT): number {
	return Math.ceil(bytes / alignment) * alignment;
}
