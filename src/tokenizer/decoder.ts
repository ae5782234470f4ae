/**
 * Token strings → text, one token at a time: the steps of tokenizer.json's "decoder", each holding back what a later token may
 * still change. Decoding a list is the same stream run to its end, so streamed and whole text cannot differ.
 * After the Rust library's decoders; the npm package's want all tokens at once and drop U+FEFF. One rule differs from Rust: in a
 * run of byte tokens with a broken character it gives up the whole run as U+FFFD, the good characters too, so nothing could be
 * shown before the run's end; here only the broken bytes become U+FFFD, one each.
 */
import { NanoVllmError } from "../errors.ts";
import { byteLevelBytes } from "./byte-level.ts";
import { ReplaceDecoder } from "./huggingface.ts";

/** A stream of one text. */
export interface TextStream {
	/** @returns what this token makes certain. */
	push(token: string): string;
	/** @returns what was held back; half a character as U+FFFD. */
	finish(): string;
}

/** @param isContinued the text goes on from tokens not seen here: no first-token rule applies. */
export type CreateTextStream = (isContinued?: boolean) => TextStream;

/** One step; hands on pieces by calling the next. */
interface Sink {
	push(piece: string): void;
	finish(): void;
}

type Step = (next: Sink, isContinued: boolean) => Sink;
type Config = { readonly [key: string]: unknown };

/** @throws invalid_tokenizer for kinds we do not know, or orders that cannot be streamed. */
export function compileDecoder(config: unknown): CreateTextStream {
	const steps = compileSteps(flatten(config));
	return (isContinued = false) => {
		let text = "";
		const take = (): string => {
			const taken = text;
			text = "";
			return taken;
		};
		let sink: Sink = {
			push: (piece) => {
				text += piece;
			},
			finish: () => {},
		};
		for (const step of steps.toReversed()) sink = step(sink, isContinued);
		return {
			push: (token) => {
				sink.push(token);
				return take();
			},
			finish: () => {
				sink.finish();
				return take();
			},
		};
	};
}

const encoder = new TextEncoder();

/** Token string → its bytes in the middle of a text, where the decoder says how it writes single bytes. */
export function compileTokenBytes(
	config: unknown,
): (token: string) => Uint8Array {
	const kinds = flatten(config).map((step) => step.type);
	if (kinds.includes("ByteLevel")) return byteLevelBytes;
	const createStream = compileDecoder(config);
	const hasByteTokens = kinds.includes("ByteFallback");
	return (token) => {
		const byte = hasByteTokens ? byteOf(token) : undefined;
		if (byte !== undefined) return Uint8Array.of(byte);
		const stream = createStream(true);
		return encoder.encode(stream.push(token) + stream.finish());
	};
}

function flatten(config: unknown): Config[] {
	if (config === null || config === undefined) return [{ type: "Spaces" }];
	const step = config as Config;
	if (step.type !== "Sequence") return [step];
	return (step.decoders as unknown[]).flatMap(flatten);
}

function compileSteps(configs: readonly Config[]): Step[] {
	let isFused = false; // pieces are no tokens any more, but stretches of one text
	return configs.map((config): Step => {
		switch (config.type) {
			case "ByteLevel":
				isFused = true;
				return byteLevel;
			case "ByteFallback":
				return byteFallback;
			case "Fuse":
				isFused = true;
				return (next) => next;
			case "Replace":
				return replace(config, isFused);
			case "Strip":
				return strip(config, isFused);
			case "Metaspace":
				return metaspace(config);
			case "Spaces": // no decoder at all: tokens with spaces between them
				return mapPieces((piece, isFirst) => (isFirst ? piece : ` ${piece}`));
			default:
				throw new NanoVllmError(
					"invalid_tokenizer",
					`tokenizer.json: wanted a decoder of a kind we know (ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, Sequence), got ${JSON.stringify(config.type)}. Use the tokenizer of a text-generating model.`,
				);
		}
	});
}

function mapPieces(map: (piece: string, isFirst: boolean) => string): Step {
	return (next, isContinued) => {
		let isFirst = !isContinued;
		return {
			push: (piece) => {
				next.push(map(piece, isFirst));
				isFirst = false;
			},
			finish: () => next.finish(),
		};
	};
}

/** Bytes of all tokens as one UTF-8 text; invalid sequences become U+FFFD as in WHATWG and Rust alike. */
function byteLevel(next: Sink): Sink {
	const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
	return {
		push: (token) =>
			next.push(decoder.decode(byteLevelBytes(token), { stream: true })),
		finish: () => {
			next.push(decoder.decode());
			next.finish();
		},
	};
}

/** "<0xE4>" tokens → characters as soon as their bytes are complete; other tokens pass. */
function byteFallback(next: Sink): Sink {
	const decoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
	let pending: number[] = []; // bytes that may yet become a character
	const giveUp = (): void => {
		if (pending.length > 0) next.push("\ufffd".repeat(pending.length));
		pending = [];
	};
	const pushByte = (byte: number): void => {
		if (pending.length > 0 && !canFollow(pending, byte)) giveUp();
		pending.push(byte);
		const length = utf8Length(pending[0]);
		if (length === 0) giveUp();
		else if (pending.length === length) {
			next.push(decoder.decode(Uint8Array.from(pending)));
			pending = [];
		}
	};
	return {
		push: (token) => {
			const byte = byteOf(token);
			if (byte !== undefined) return pushByte(byte);
			giveUp();
			next.push(token);
		},
		finish: () => {
			giveUp();
			next.finish();
		},
	};
}

/** The byte that a token like "<0xE4>" stands for. */
function byteOf(token: string): number | undefined {
	const digits = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
	return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

/** Bytes of the character that starts with this byte, 0 where none does. */
function utf8Length(byte: number): number {
	if (byte < 0x80) return 1;
	if (byte < 0xc2) return 0;
	if (byte < 0xe0) return 2;
	if (byte < 0xf0) return 3;
	return byte < 0xf5 ? 4 : 0;
}

/** Table 3-7 of the Unicode standard: the second byte's range hangs on the first. */
function canFollow([first, ...more]: readonly number[], byte: number): boolean {
	if (byte < 0x80 || byte > 0xbf) return false;
	if (more.length > 0) return true;
	if (first === 0xe0) return byte >= 0xa0;
	if (first === 0xed) return byte <= 0x9f;
	if (first === 0xf0) return byte >= 0x90;
	return first !== 0xf4 || byte <= 0x8f;
}

function replace(config: Config, isFused: boolean): Step {
	const content = String(config.content ?? "");
	const { String: literal } = (config.pattern ?? {}) as { String?: unknown };
	if (isFused && !(typeof literal === "string" && [...literal].length === 1))
		throw new NanoVllmError(
			"invalid_tokenizer",
			"tokenizer.json: wanted a decoder that can be streamed, got a Replace of more than one character after Fuse or ByteLevel.",
		);
	const { pattern } = new ReplaceDecoder(config);
	if (!pattern)
		throw new NanoVllmError(
			"invalid_tokenizer",
			`tokenizer.json: wanted a pattern {Regex} or {String} in the decoder's Replace, got ${JSON.stringify(config.pattern)}.`,
		);
	return mapPieces((piece) => piece.replaceAll(pattern, () => content));
}

/** Takes up to `start` characters `content` from the front and `stop` from the end, of each token or of the fused text. */
function strip(config: Config, isFused: boolean): Step {
	const content = String(config.content ?? " ");
	const [start, stop] = [Number(config.start ?? 0), Number(config.stop ?? 0)];
	const countFront = (text: string, most: number): number => {
		let count = 0;
		while (count < most && text[count] === content) count++;
		return count;
	};
	const countBack = (text: string): number => {
		let count = 0;
		while (count < stop && text[text.length - 1 - count] === content) count++;
		return count;
	};
	if (!isFused)
		return mapPieces((piece) => {
			const rest = piece.slice(countFront(piece, start));
			return rest.slice(0, rest.length - countBack(rest));
		});
	return (next, isContinued) => {
		let front = isContinued ? 0 : start; // still to be taken, should they come
		let held = ""; // would be taken should the text end here
		return {
			push: (piece) => {
				const taken = countFront(piece, front);
				const text = held + piece.slice(taken);
				front = text === "" ? front - taken : 0;
				const back = countBack(text);
				held = text.slice(text.length - back);
				next.push(text.slice(0, text.length - back));
			},
			finish: () => next.finish(),
		};
	};
}

function metaspace(config: Config): Step {
	const mark =
		typeof config.replacement === "string" ? config.replacement : "▁";
	const keepsFirst =
		config.prepend_scheme === "never" || config.add_prefix_space === false;
	return mapPieces((piece, isFirst) =>
		piece.replaceAll(mark, isFirst && !keepsFirst ? "" : " "),
	);
}
