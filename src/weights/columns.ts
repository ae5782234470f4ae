/** Columns of a raw matrix. Files can only be read by rows, so rows come in chunks and what lies beside the columns is let go. */

import type { RawTensors } from "./safetensors.ts";
import type { HeaderEntry } from "./safetensors-header.ts";
import { allocateBytes } from "./source.ts";

/** Bytes of rows read at a time, unless one row is more. */
const CHUNK_BYTES = 4 * 2 ** 20;

/** Columns columnStart to columnEnd of all rows, row-major. */
export async function readColumns(
	raw: RawTensors,
	{ name, shape, byteLength }: HeaderEntry,
	columnStart: number,
	columnEnd: number,
	signal: AbortSignal | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
	const [rows, columns] = shape;
	const rowBytes = rows === 0 ? 0 : byteLength / rows;
	const size = rowBytes / Math.max(1, columns);
	const [from, to] = [columnStart * size, columnEnd * size];
	const out = allocateBytes(name, rows * (to - from));
	const chunk = Math.max(1, Math.floor(CHUNK_BYTES / Math.max(1, rowBytes)));
	for (let row = 0; row < rows; row += chunk) {
		const end = Math.min(rows, row + chunk);
		const bytes = await raw.readRaw(name, row, end, signal);
		for (let r = row; r < end; r++) {
			const offset = (r - row) * rowBytes;
			out.set(bytes.subarray(offset + from, offset + to), r * (to - from));
		}
	}
	return out;
}
