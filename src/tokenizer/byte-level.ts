/** GPT-2's bytes as printable characters: how byte-level vocabularies write bytes. Printable ones stand for themselves. */

const BYTE_CHARS: readonly string[] = buildTable();
const CHAR_BYTES: ReadonlyMap<string, number> = new Map(
	BYTE_CHARS.map((char, byte) => [char, byte]),
);
const encoder = new TextEncoder();

function buildTable(): string[] {
	let next = 256;
	return Array.from({ length: 256 }, (_, byte) => {
		const isPrintable =
			(byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
		return String.fromCharCode(isPrintable ? byte : next++);
	});
}

export function byteLevelChar(byte: number): string {
	return BYTE_CHARS[byte];
}

/** The UTF-8 bytes of a text, each as its character. */
export function byteLevelText(text: string): string {
	let out = "";
	for (const byte of encoder.encode(text)) out += BYTE_CHARS[byte];
	return out;
}

/** The bytes a token stands for. A token with a character outside the table (an added token, say) stands for its own UTF-8. */
export function byteLevelBytes(token: string): Uint8Array {
	const bytes = new Uint8Array(token.length);
	for (let i = 0; i < token.length; i++) {
		const byte = CHAR_BYTES.get(token[i]);
		if (byte === undefined) return encoder.encode(token);
		bytes[i] = byte;
	}
	return bytes;
}
