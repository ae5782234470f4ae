/** Runs nano-vllm as a process of its own, on a tiny model with random weights and a real tokenizer. */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

const ROOT = join(import.meta.dirname, "../..");
const MAIN = join(ROOT, "src/cli/main.ts");
const TOKENIZER = join(ROOT, "test/golden/tokenizers/qwen2");

/** A tiny checkpoint without a tokenizer: 257 token ids, 1,024 tokens of context. */
export const CHECKPOINT = join(ROOT, "test/golden/qwen3/tied-group2");

const CHAT_TEMPLATE =
	"{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

export const CONFIG = {
	architectures: ["Qwen3ForCausalLM"],
	vocab_size: 908,
	hidden_size: 32,
	intermediate_size: 48,
	num_hidden_layers: 2,
	num_attention_heads: 4,
	num_key_value_heads: 2,
	head_dim: 8,
	tie_word_embeddings: true,
	eos_token_id: 902,
};

/** Random weights on the plainest device: what is tested here is the command line. */
export const DUMMY = ["--load-format", "dummy", "--device", "reference"];

/** More tokens than any test waits for: an answer that only ends when it is stopped. */
export const ENDLESS = 30_000;

/** A folder for this test file, gone when it ends. */
export function temporaryFolder(): string {
	const folder = mkdtempSync(join(tmpdir(), "nano-vllm-"));
	after(() => rmSync(folder, { recursive: true, force: true }));
	return folder;
}

/** config.json alone, or with a tokenizer of 908 ids and a chat template: to be loaded with --load-format dummy. */
export function writeModel(
	folder: string,
	{ tokenizer = true, maxModelLen = 512 } = {},
): string {
	if (tokenizer) {
		cpSync(TOKENIZER, folder, { recursive: true });
		writeFileSync(join(folder, "chat_template.jinja"), CHAT_TEMPLATE);
	}
	const config = { ...CONFIG, max_position_embeddings: maxModelLen };
	writeFileSync(join(folder, "config.json"), JSON.stringify(config));
	return folder;
}

/** Node strips and compiles the sources once per test file and not once per process. */
const COMPILED = temporaryFolder();

export interface Ended {
	readonly code: number | null;
	readonly signal: string | null;
	readonly stdout: string;
	readonly stderr: string;
}

export interface Running {
	readonly process: ChildProcess;
	readonly ended: Promise<Ended>;
	/** What it has written so far. */
	stdout(): string;
	stderr(): string;
	/** Once stdout holds the text. */
	until(text: RegExp): Promise<void>;
}

/** @param prefix what the process is started by, as `ip netns exec NAME` */
export function start(
	args: readonly string[],
	environment: Readonly<Record<string, string>> = {},
	prefix: readonly string[] = [],
): Running {
	const [command, ...rest] = [...prefix, process.execPath, MAIN, ...args];
	const child = spawn(command, rest, {
		env: {
			...process.env,
			NO_COLOR: "1",
			NODE_COMPILE_CACHE: COMPILED,
			...environment,
		},
	});
	const seen = { stdout: "", stderr: "" };
	let look = () => {};
	for (const name of ["stdout", "stderr"] as const)
		child[name].setEncoding("utf8").on("data", (text: string) => {
			seen[name] += text;
			look();
		});
	const ended = new Promise<Ended>((resolve, reject) => {
		child.on("error", reject);
		child.on("close", (code, signal) => resolve({ code, signal, ...seen }));
	});
	const until = (text: RegExp) =>
		new Promise<void>((resolve, reject) => {
			look = () => text.test(seen.stdout) && resolve();
			look();
			ended.then(() => reject(new Error(`ended without ${text}`)), reject);
		});
	return {
		process: child,
		ended,
		stdout: () => seen.stdout,
		stderr: () => seen.stderr,
		until,
	};
}

/** Runs to the end. `input`: what stdin holds. */
export function run(
	args: readonly string[],
	input = "",
	environment?: Readonly<Record<string, string>>,
): Promise<Ended> {
	const running = start(args, environment);
	running.process.stdin?.on("error", () => {}).end(input);
	return running.ended;
}
