/** Writes safetensors files for tests, right ones and, byte by byte, wrong ones. Shares no code with the reader. */

export interface TensorToWrite {
	readonly dtype: "f32" | "f16" | "bf16";
	readonly shape: readonly number[];
	readonly data: Float32Array;
}

/** Data in the order given; bf16 is rounded to nearest even. */
export function writeSafetensors(
	tensors: Readonly<Record<string, TensorToWrite>>,
	metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
	const header: Record<string, unknown> = {};
	if (metadata) header.__metadata__ = metadata;
	const parts: Uint8Array[] = [];
	let begin = 0;
	for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
		const part = encode(dtype, data);
		const end = begin + part.length;
		header[name] = {
			dtype: dtype.toUpperCase(),
			shape,
			data_offsets: [begin, end],
		};
		parts.push(part);
		begin = end;
	}
	return writeRaw(JSON.stringify(header), Buffer.concat(parts));
}

/** Any text as header; `headerLength` may lie. */
export function writeRaw(
	header: string | Uint8Array,
	data: Uint8Array | number = 0,
	headerLength?: bigint,
): Uint8Array<ArrayBuffer> {
	const text = Buffer.from(header);
	const body = typeof data === "number" ? new Uint8Array(data) : data;
	const length = Buffer.alloc(8);
	length.writeBigUInt64LE(headerLength ?? BigInt(text.length));
	return new Uint8Array(Buffer.concat([length, text, body]));
}

function encode(dtype: TensorToWrite["dtype"], data: Float32Array): Uint8Array {
	const size = dtype === "f32" ? 4 : 2;
	const out = new DataView(new ArrayBuffer(data.length * size));
	data.forEach((value, i) => {
		if (dtype === "f32") out.setFloat32(i * 4, value, true);
		else if (dtype === "f16") out.setFloat16(i * 2, value, true);
		else out.setUint16(i * 2, bfloat16(value), true);
	});
	return new Uint8Array(out.buffer);
}

/** The nearer of the two bf16 neighbours, by distance in f64; the even one when they are equally near. */
function bfloat16(value: number): number {
	const view = new DataView(new ArrayBuffer(4));
	view.setFloat32(0, value);
	const below = view.getUint16(0);
	if (!Number.isFinite(value)) return Number.isNaN(value) ? 0x7fc0 : below;
	const toValue = (pattern: number): number => {
		view.setUint32(0, pattern * 0x10000);
		return view.getFloat32(0);
	};
	const toBelow = Math.abs(value - toValue(below));
	const toAbove = Math.abs(toValue(below + 1) - value);
	if (toBelow !== toAbove) return toBelow < toAbove ? below : below + 1;
	return below % 2 === 0 ? below : below + 1;
}
