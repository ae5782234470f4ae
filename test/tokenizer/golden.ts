/** The golden tokenizers, and what the Rust library answers. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createTokenizer } from "../../src/tokenizer/tokenizer.ts";

const FOLDER = new URL("../golden/tokenizers/", import.meta.url);

export interface Decodings {
	readonly decoded: string;
	readonly decodedWithSpecial: string;
}

export interface Cases {
	readonly vocabSize: number;
	readonly strings: readonly ({
		readonly text: string;
		readonly ids: number[];
		readonly idsWithSpecial: number[];
	} & Decodings)[];
	readonly runs: readonly {
		readonly repeat: string;
		readonly times: number;
		readonly numIds: number;
		readonly idsSha256: string;
		readonly textSha256: string;
	}[];
	readonly decodes: readonly ({ readonly ids: number[] } & Decodings)[];
}

export const KINDS: readonly string[] = readdirSync(FOLDER).sort();

// biome-ignore lint/suspicious/noExplicitAny: JSON of many shapes
export function readJson(kind: string, file: string): any {
	return JSON.parse(readFileSync(new URL(`${kind}/${file}`, FOLDER), "utf8"));
}

export function readCases(kind: string): Cases {
	return readJson(kind, "cases.json");
}

export function loadTokenizer(kind: string) {
	return createTokenizer(
		readJson(kind, "tokenizer.json"),
		readJson(kind, "tokenizer_config.json"),
	);
}

export function sha256(text: string): string {
	return createHash("sha256").update(text).digest("hex");
}
