/** A tokenizer.json as GGUF metadata, the way llama.cpp's converters write it. */
import type { GgufValue } from "../../bench/peers/gguf-writer.ts";
import { type Metadata, string, strings, u32 } from "./gguf-files.ts";

export const TYPES = {
	normal: 1,
	unknown: 2,
	control: 3,
	userDefined: 4,
	unused: 5,
	byte: 6,
} as const;

interface TokenizerJson {
	readonly model: {
		readonly vocab: Readonly<Record<string, number>>;
		readonly merges: readonly (string | readonly [string, string])[];
		readonly unk_token?: string | null;
	};
	readonly added_tokens: readonly {
		readonly id: number;
		readonly content: string;
		readonly special: boolean;
	}[];
}

type Named = string | { readonly content: string } | null | undefined;

export function tokenizerMetadata(
	json: TokenizerJson,
	config: Readonly<Record<string, Named>>,
	kind: "gpt2" | "llama",
	more: Metadata = {},
): Metadata {
	const tokens: string[] = [];
	const types: number[] = [];
	const { vocab, merges, unk_token: unknown } = json.model;
	for (const [token, id] of Object.entries(vocab)) {
		tokens[id] = token;
		types[id] = /^<0x[0-9A-F]{2}>$/.test(token) ? TYPES.byte : TYPES.normal;
	}
	for (const { id, content, special } of json.added_tokens) {
		// Converters write user-defined tokens as they stand in text.
		tokens[id] = special ? content : content.replaceAll("▁", " ");
		types[id] = special ? TYPES.control : TYPES.userDefined;
		if (content === unknown) types[id] = TYPES.unknown;
	}
	const metadata: Record<string, GgufValue> = {
		"tokenizer.ggml.model": string(kind),
		"tokenizer.ggml.tokens": strings(tokens),
		"tokenizer.ggml.token_type": { i32s: Int32Array.from(types) },
		"tokenizer.ggml.merges": strings(
			merges.map((merge) =>
				typeof merge === "string" ? merge : merge.join(" "),
			),
		),
	};
	const names = { bos: "bos", eos: "eos", unk: "unknown", pad: "padding" };
	for (const [theirs, ggml] of Object.entries(names)) {
		const value = config[`${theirs}_token`];
		const content = typeof value === "object" ? value?.content : value;
		if (content)
			metadata[`tokenizer.ggml.${ggml}_token_id`] = u32(
				tokens.indexOf(content),
			);
	}
	return { ...metadata, ...more };
}
