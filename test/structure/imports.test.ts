/** The direction of imports: docs/structure.md as a test. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path/posix";
import { test } from "node:test";

/** Room → rooms it may import besides itself. A room is a folder or a file directly under src/. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
	errors: [],
	config: ["errors", "structured-outputs"],
	"structured-outputs": ["errors"],
	structured: [
		"errors",
		"config",
		"engine",
		"platform",
		"structured-outputs",
		"tokenizer",
	],
	backends: ["errors", "weights"],
	"backends/reference": ["errors", "backends", "weights"],
	"backends/cpu": ["errors", "backends", "weights", "platform"],
	"backends/webgpu": ["errors", "backends", "weights"],
	weights: ["errors", "backends"],
	models: ["errors", "config", "backends"],
	engine: ["errors", "config", "backends"],
	tokenizer: ["errors", "config"],
	platform: ["errors", "weights"],
	hub: ["errors", "config", "platform", "weights"],
	prompt: ["errors", "config", "tokenizer"],
	"find-model": ["errors", "config", "hub", "platform", "weights"],
	"choose-device": [
		"errors",
		"config",
		"backends",
		"backends/reference",
		"backends/cpu",
		"backends/webgpu",
		"platform",
	],
	load: [
		"errors",
		"choose-device",
		"config",
		"find-model",
		"backends",
		"backends/cpu",
		"hub",
		"models",
		"platform",
		"tokenizer",
		"weights",
	],
	inspect: [
		"errors",
		"backends",
		"find-model",
		"load",
		"models",
		"platform",
		"weights",
	],
	lora: [
		"errors",
		"config",
		"backends",
		"engine",
		"find-model",
		"platform",
		"weights",
	],
	requests: [
		"errors",
		"config",
		"engine",
		"lora",
		"prompt",
		"structured",
		"structured-outputs",
		"tokenizer",
	],
	llm: [
		"errors",
		"config",
		"engine",
		"load",
		"lora",
		"models",
		"platform",
		"prompt",
		"requests",
		"structured",
		"tokenizer",
		"weights",
	],
	index: [
		"errors",
		"config",
		"backends",
		"engine",
		"inspector",
		"llm",
		"load",
		"lora",
		"models",
		"prompt",
		"requests",
		"structured-outputs",
		"tokenizer",
		"weights",
	],
	browser: [
		"errors",
		"config",
		"engine",
		"llm",
		"load",
		"lora",
		"platform",
		"prompt",
		"requests",
		"tokenizer",
		"weights",
	],
	inspector: ["engine"],
	server: ["errors", "config", "index"],
	batch: ["errors"],
	nats: ["errors", "batch"],
	cli: [
		"errors",
		"config",
		"index",
		"platform",
		"find-model",
		"choose-device",
		"backends",
		"batch",
		"hub",
		"inspect",
		"nats",
		"server",
		"weights",
	],
};

/** Packages and runtimes a room may name; every other room names none. */
const PACKAGES: Readonly<Record<string, RegExp>> = {
	tokenizer: /^@huggingface\/(tokenizers|jinja)$/,
	server: /^(hono|zod)$/,
	nats: /^@nats-io\/(nats-core|jetstream|kv|obj)$/,
	cli: /^(node:|(commander|@hono\/node-server|@nats-io\/transport-node|pino)$)/,
	platform: /^(webgpu|@mlc-ai\/web-xgrammar)$/,
	structured: /^@mlc-ai\/web-xgrammar$/,
	hub: /^@huggingface\/hub$/,
};

interface Import {
	readonly file: string;
	readonly specifier: string;
	readonly dynamic: boolean;
}

const root = join(import.meta.dirname, "../../src");
const files = readdirSync(root, { recursive: true, encoding: "utf8" })
	.map((file) => file.replaceAll("\\", "/"))
	.filter((file) => file.endsWith(".ts") && !file.includes("/assembly/"));
const imports = files.flatMap((file) =>
	importsOf(file, readFileSync(join(root, file), "utf8")),
);

function importsOf(file: string, text: string): Import[] {
	const code = text.replace(/\/\*[\s\S]*?\*\//g, "");
	const fixed = code.matchAll(/\bfrom\s+"([^"]+)"|^import\s+"([^"]+)"/gm);
	const dynamic = code.matchAll(/\bimport\(\s*"([^"]+)"/g);
	return [
		...[...fixed].map((m) => ({
			file,
			specifier: m[1] ?? m[2],
			dynamic: false,
		})),
		...[...dynamic].map((m) => ({ file, specifier: m[1], dynamic: true })),
	];
}

function roomOf(path: string): string {
	const parts = path.replace(/\.ts$/, "").split("/");
	if (parts[0] === "backends" && parts.length > 2)
		return parts.slice(0, 2).join("/");
	return parts[0];
}

test("every room imports only what docs/structure.md draws", () => {
	assert.ok(imports.length > 50, "imports are found");
	const wrong = imports
		.filter(({ specifier }) => specifier.startsWith("."))
		.filter(({ file, specifier }) => {
			const from = roomOf(file);
			const to = roomOf(normalize(join(dirname(file), specifier)));
			assert.ok(from in ALLOWED, `${file}: room ${from} is drawn`);
			return from !== to && !ALLOWED[from].includes(to);
		});
	assert.deepEqual(wrong, []);
});

test("packages and node:* stay in their rooms; only platform/node*.ts and the command line know Node", () => {
	const wrong = imports
		.filter(({ specifier }) => !specifier.startsWith("."))
		.filter(({ file, specifier }) => {
			const isNode = /^platform\/node(-files)?\.ts$/.test(file);
			if (isNode && specifier.startsWith("node:")) return false;
			return !PACKAGES[roomOf(file)]?.test(specifier);
		});
	assert.deepEqual(wrong, []);
});

test("concrete backends are imported dynamically, by choose-device.ts and load.ts alone", () => {
	const outside = imports.filter(({ file, specifier }) => {
		const to = roomOf(normalize(join(dirname(file), specifier)));
		return to.startsWith("backends/") && roomOf(file) !== to;
	});
	assert.ok(outside.length > 0, "load.ts imports one");
	for (const { file, specifier, dynamic } of outside)
		assert.ok(
			["choose-device.ts", "load.ts"].includes(file) && dynamic,
			`${file} imports ${specifier}`,
		);
});

test("the inspector knows the engine by its events alone", () => {
	const others = imports.filter(({ file, specifier }) => {
		if (roomOf(file) !== "inspector") return false;
		const to = normalize(join(dirname(file), specifier));
		return roomOf(to) !== "inspector" && to !== "engine/events.ts";
	});
	assert.deepEqual(others, []);
});

test("relative imports name files, and nothing but the package's entries re-exports", () => {
	for (const { file, specifier } of imports)
		if (specifier.startsWith("."))
			assert.match(specifier, /\.ts$/, `${file} imports ${specifier}`);
	for (const file of files) {
		if (file === "index.ts" || file === "browser.ts") continue;
		const text = readFileSync(join(root, file), "utf8");
		assert.doesNotMatch(text, /^export\s[^;]*\bfrom\s+"/m, file);
	}
});
