/** Bytes → lines, numbered and with their places, one at a time and none longer than may be held. Knows no JSON. */

export interface Line {
	/** From 1, as editors count. */
	readonly number: number;
	/** Of its first byte in the file. */
	readonly start: number;
	/** Past its line feed. */
	readonly end: number;
	/** False for a last line without a line feed. */
	readonly isWhole: boolean;
	/** null where it is longer than the limit or not UTF-8. */
	readonly text: string | null;
	readonly numBytes: number;
}

const LINE_FEED = 10;

/**
 * @param maxBytes a longer line is passed over, not held
 * @param isStrict a line that is not UTF-8 has no text; else it has some with U+FFFD in it
 */
export async function* readLines(
	chunks: AsyncIterable<Uint8Array>,
	maxBytes: number,
	isStrict: boolean,
): AsyncGenerator<Line, void, void> {
	const decoder = new TextDecoder("utf-8", { fatal: isStrict });
	let parts: Uint8Array[] = [];
	let numBytes = 0;
	let start = 0;
	let number = 0;
	const add = (part: Uint8Array): void => {
		numBytes += part.length;
		if (numBytes > maxBytes) parts = [];
		else if (part.length > 0) parts.push(part);
	};
	const finish = (isWhole: boolean): Line => {
		const end = start + numBytes + (isWhole ? 1 : 0);
		const text = numBytes > maxBytes ? null : decode(decoder, parts);
		const line = { number: ++number, start, end, isWhole, text, numBytes };
		parts = [];
		numBytes = 0;
		start = end;
		return line;
	};
	for await (const chunk of chunks) {
		let at = 0;
		for (;;) {
			const next = chunk.indexOf(LINE_FEED, at);
			if (next === -1) break;
			add(chunk.subarray(at, next));
			yield finish(true);
			at = next + 1;
		}
		// A copy: whoever gave the chunk may fill it again.
		add(chunk.slice(at));
	}
	if (numBytes > 0) yield finish(false);
}

function decode(
	decoder: TextDecoder,
	parts: readonly Uint8Array[],
): string | null {
	try {
		return decoder.decode(parts.length === 1 ? parts[0] : joined(parts));
	} catch {
		return null;
	}
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
	const bytes = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0));
	let at = 0;
	for (const part of parts) {
		bytes.set(part, at);
		at += part.length;
	}
	return bytes;
}
