/**
 * The same GGUF file in llama.cpp and in nano-vllm: do both choose the same tokens? Needs `npm ci` in bench/peers once (Linux).
 *   node bench/peers/greedy.ts [--only demo-model,families/mixtral] [--types f16,q8_0] [--device cpu] [--threads 1] [--tokens 32]
 *     [--dir DIR for model files] [--json FILE] [--record]
 * llama.cpp answers each prompt greedily, token by token; so do we, and then we score its answer. Where its token is not our best one,
 * the gap is what our best logit has over it. Rounding differs (llama.cpp rounds activations to f16 or 8 bits, for K-quants with one
 * scale for 256 of them), so small gaps are
 * no error: a gap above BOUNDS is one, and the exit code is then 1.
 */
import { fork } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { LLM, type LoadOptions } from "../../src/index.ts";
import { type WrittenType, writeCheckpoint } from "./checkpoint-gguf.ts";
import { type GreedyCase, greedyCases } from "./greedy-cases.ts";
import {
	type GreedyResult,
	greedyFigures,
	greedyTable,
	recordGreedy,
} from "./greedy-report.ts";
import type { LlamaGreedyAnswer, LlamaGreedyStart } from "./llama-greedy.ts";
import { ensureCheckpoint } from "./write-checkpoint.ts";

/** The largest gap of logits that rounding explains, by the type of the weights. */
const BOUNDS: Readonly<Record<WrittenType, number>> = {
	f32: 0.05,
	f16: 0.05,
	bf16: 0.05,
	q8_0: 0.1,
	q4_0: 0.1,
	q6_k: 0.3,
	q4_k: 0.3,
};

const { values } = parseArgs({
	options: {
		only: { type: "string" },
		types: { type: "string" },
		device: { type: "string", default: "cpu" },
		threads: { type: "string", default: "1" },
		tokens: { type: "string", default: "32" },
		dir: { type: "string", default: join(tmpdir(), "nano-vllm-greedy") },
		json: { type: "string" },
		record: { type: "boolean", default: false },
	},
});
const threads = Number(values.threads);
const numTokens = Number(values.tokens);
const device = values.device as LoadOptions["device"];

const results: GreedyResult[] = [];
let about = "";
mkdirSync(values.dir, { recursive: true });
for (const one of chosen())
	for (const type of typesOf(one)) {
		const result = await compare(one, type);
		results.push(result);
		console.error(`${one.name}, ${type}: ${result.verdict}`);
	}
const figures = greedyFigures(results, {
	device: values.device,
	numTokens,
	about,
});
console.log(greedyTable(figures));
if (values.json !== undefined)
	writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
if (values.record) recordGreedy(figures);
if (results.some(({ isWrong }) => isWrong)) process.exitCode = 1;

function chosen(): GreedyCase[] {
	const names = values.only?.split(",");
	const all = greedyCases();
	for (const name of names ?? [])
		if (!all.some((one) => one.name === name))
			throw new Error(
				`--only: ${name} is none of ${all.map((one) => one.name).join(", ")}`,
			);
	return all.filter(({ name }) => names?.includes(name) ?? true);
}

function typesOf({ types, leftOut }: GreedyCase): readonly WrittenType[] {
	if (leftOut !== undefined) return types.slice(0, 1);
	const wanted = values.types?.split(",");
	return types.filter((type) => wanted?.includes(type) ?? true);
}

async function compare(
	one: GreedyCase,
	type: WrittenType,
): Promise<GreedyResult> {
	const { name, changes, hasTokenizer, prompts, leftOut } = one;
	const facts = { name, type, architecture: "", numPrompts: prompts.length };
	if (leftOut !== undefined)
		return { ...facts, verdict: `left out: ${leftOut}`, isWrong: false };
	const path = join(values.dir, `${name.replace("/", "-")}-${type}.gguf`);
	const folder = await folderOf(one);
	const { architecture } = await writeCheckpoint(path, folder, {
		type,
		changes,
		hasTokenizer,
	});
	try {
		const theirs = await askLlama(one, path);
		if (theirs.kind === "failed") {
			const verdict = `llama.cpp does not run it: ${theirs.message}`;
			return { ...facts, architecture, verdict, isWrong: false };
		}
		about = theirs.about;
		const found = await score(one, path, theirs);
		return { ...facts, architecture, ...judge(found, BOUNDS[type]) };
	} finally {
		rmSync(path);
	}
}

/** Where the checkpoint lies; a random one is written once. */
async function folderOf({ name, folder, config }: GreedyCase): Promise<string> {
	if (config === undefined) return folder;
	const model = join(values.dir, name.replace("/", "-"));
	mkdirSync(model, { recursive: true });
	writeFileSync(join(model, "config.json"), JSON.stringify(config));
	return ensureCheckpoint(values.dir, model);
}

/** An abort inside llama.cpp ends its process without an answer. */
async function askLlama(
	{ prompts, texts, contextSize }: GreedyCase,
	model: string,
): Promise<LlamaGreedyAnswer> {
	const start: LlamaGreedyStart = {
		model,
		threads,
		contextSize,
		prompts,
		numTokens,
		texts,
	};
	const script = new URL("./llama-greedy.ts", import.meta.url);
	const child = fork(script, [JSON.stringify(start)]);
	let answer: LlamaGreedyAnswer | null = null;
	child.on("message", (message) => {
		answer = message as LlamaGreedyAnswer;
	});
	const end = await new Promise((resolve) =>
		child.on("exit", (code, signal) => resolve(signal ?? code)),
	);
	return answer ?? { kind: "failed", message: `its process ended with ${end}` };
}

interface Found {
	/** Of texts: whether our tokens are theirs. */
	readonly isTokenizedAlike: boolean;
	/** Per prompt: tokens until the first that differs, and the gap there. */
	readonly firsts: readonly { equal: number; gap: number | null }[];
	/** Over every token that llama.cpp chose, after its own tokens before. */
	readonly largestGap: number;
}

async function score(
	{ prompts, texts, contextSize, hasTokenizer }: GreedyCase,
	path: string,
	{ outputs, tokenized }: Extract<LlamaGreedyAnswer, { kind: "tokens" }>,
): Promise<Found> {
	await using llm = await LLM.load(path, {
		device,
		threads: device === "cpu" ? threads : null,
		skipTokenizerInit: !hasTokenizer,
		maxModelLen: contextSize,
	});
	const ours = await llm.generate(
		prompts.map((ids) => ({ promptTokenIds: [...ids] })),
		{ temperature: 0, maxTokens: numTokens, ignoreEos: true },
	);
	const scored = await llm.generate(
		prompts.map((ids, i) => ({ promptTokenIds: [...ids, ...outputs[i]] })),
		{ temperature: 0, maxTokens: 1, promptLogprobs: 1 },
	);
	const gaps = scored.map(({ promptLogprobs }, i) =>
		outputs[i].map((token, n) => {
			const entries = promptLogprobs?.[prompts[i].length + n] ?? [];
			const own = entries.find(({ tokenId }) => tokenId === token);
			if (own === undefined) throw new Error(`token ${token} is not scored`);
			return entries[0].logprob - own.logprob;
		}),
	);
	return {
		isTokenizedAlike: texts.every(
			(text, i) => llm.tokenizer.encode(text).join() === tokenized[i].join(),
		),
		firsts: ours.map(({ outputs: [{ tokenIds }] }, i) => {
			const first = outputs[i].findIndex((token, n) => token !== tokenIds[n]);
			if (first === -1) return { equal: numTokens, gap: null };
			return { equal: first, gap: gaps[i][first] };
		}),
		largestGap: Math.max(...gaps.flat()),
	};
}

function judge(found: Found, bound: number) {
	const { firsts, largestGap, isTokenizedAlike } = found;
	const numEqual = firsts.filter(({ gap }) => gap === null).length;
	const isWrong = largestGap > bound || !isTokenizedAlike;
	const parts = [
		numEqual === firsts.length
			? "all tokens equal"
			: `${numEqual} of ${firsts.length} answers equal`,
		largestGap > 0 && `largest gap ${largestGap.toFixed(4)}`,
		largestGap > bound && `more than ${bound}`,
		!isTokenizedAlike && "texts are tokenized otherwise",
	];
	return {
		...found,
		bound,
		isWrong,
		verdict: parts.filter(Boolean).join(", "),
	};
}
