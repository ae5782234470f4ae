/** What the hub's tests share: a repository of small files, a folder for the cache, a client whose patience costs no time. */
import {
	lstatSync,
	mkdtempSync,
	readdirSync,
	readlinkSync,
	rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import type { DiskHub } from "../../src/hub/blob.ts";
import type { ModelId } from "../../src/hub/model-id.ts";
import { nodeFiles } from "../../src/platform/node-files.ts";
import type { HubServer, Repo } from "./hub-server.ts";
import { randomSource } from "./random.ts";
import { json } from "./text-model.ts";

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";
export const REPO = "acme/tiny";
export const ID: ModelId = { repo: REPO, revision: "main", file: null };

/** Seeded bytes, large enough to arrive in many pieces. */
export function randomBytes(length: number, seed: number): Uint8Array {
	const random = randomSource(seed);
	return Uint8Array.from({ length }, () => random.below(256));
}

/** What a model's repository holds: what is needed, and what is not. */
export function tinyRepo(more: Partial<Repo> = {}): Repo {
	return {
		commit: COMMIT,
		files: new Map<string, Uint8Array>([
			["config.json", json({ architectures: ["Qwen3ForCausalLM"] })],
			["generation_config.json", json({ temperature: 0.6 })],
			["tokenizer.json", json({ version: "1.0" })],
			["tokenizer_config.json", json({})],
			["model.safetensors", randomBytes(300_000, 1)],
			["pytorch_model.bin", randomBytes(1000, 2)],
			["onnx/model.onnx", randomBytes(1000, 3)],
			["README.md", new TextEncoder().encode("# Tiny")],
		]),
		...more,
	};
}

export function temporaryFolder(): string {
	const folder = mkdtempSync(join(tmpdir(), "nano-vllm-hub-"));
	after(() => rmSync(folder, { recursive: true, force: true }));
	return folder;
}

export interface Client extends DiskHub {
	/** What was waited for, in milliseconds. */
	readonly waits: number[];
}

/** A client of the server with an empty cache of its own. */
export function clientOf(
	server: HubServer,
	settings: Partial<DiskHub["settings"]> = {},
): Client {
	const waits: number[] = [];
	return {
		settings: {
			endpoint: server.endpoint,
			token: null,
			cacheFolder: temporaryFolder(),
			offline: false,
			timeoutMs: 5000,
			...settings,
		},
		fetch: (url, init) => fetch(url, init),
		files: nodeFiles,
		waits,
		async wait(milliseconds, signal) {
			signal?.throwIfAborted();
			waits.push(milliseconds);
			// Waits for other writers are real, patience with the server is not.
			const real = milliseconds < 1000 ? milliseconds : 1;
			await new Promise((done) => setTimeout(done, real));
			signal?.throwIfAborted();
		},
	};
}

/** Every file and link below a folder: path → "file" or "→ target". */
export function treeOf(folder: string): Record<string, string> {
	const tree: Record<string, string> = {};
	for (const name of readdirSync(folder, {
		recursive: true,
		encoding: "utf8",
	})) {
		const path = join(folder, name);
		const stats = lstatSync(path);
		if (stats.isSymbolicLink()) tree[name] = `→ ${readlinkSync(path)}`;
		else if (stats.isFile()) tree[name] = "file";
	}
	return tree;
}
