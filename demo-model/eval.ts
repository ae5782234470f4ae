/**
 * Asks the bundled model every held-out question through the public library, greedily, and prints a score per kind.
 *   node demo-model/eval.ts [--device D] [--limit N] [--json FILE] [--failures]
 * Exits with 1 if a kind misses its target.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { LLM } from "../src/index.ts";
import { type HeldOut, KINDS, type Kind } from "./corpus/document.ts";
import { isRight, MAX_TOKENS, TARGETS } from "./scoring.ts";

const { values } = parseArgs({
	options: {
		device: { type: "string", default: "auto" },
		limit: { type: "string", default: "Infinity" },
		json: { type: "string" },
		failures: { type: "boolean", default: false },
	},
});

const folder = import.meta.dirname;
const items: HeldOut[] = JSON.parse(
	readFileSync(`${folder}/heldout.json`, "utf8"),
);
const device = values.device as "auto" | "webgpu" | "cpu" | "reference";
await using llm = await LLM.load(folder, { device });

/** Answers in the order of the items; chats and plain prompts are two calls. */
async function answer(asked: HeldOut[], kind: Kind): Promise<string[]> {
	const params = { temperature: 0, maxTokens: MAX_TOKENS[kind] };
	const chats = asked.flatMap((item) => (item.messages ? [item.messages] : []));
	const prompts = asked.flatMap((item) => (item.prompt ? [item.prompt] : []));
	const chatted = chats.length > 0 ? await llm.chat(chats, params) : [];
	const continued =
		prompts.length > 0 ? await llm.generate(prompts, params) : [];
	const texts = [chatted, continued].map((results) =>
		results.map((result) => result.outputs[0].text).values(),
	);
	return asked.map((item) => texts[item.messages ? 0 : 1].next().value ?? "");
}

interface Row {
	kind: Kind;
	items: number;
	right: number;
	rate: number;
	target: number;
	seconds: number;
}

const rows: Row[] = [];
for (const kind of KINDS) {
	const asked = items
		.filter((item) => item.kind === kind)
		.slice(0, Number(values.limit));
	const started = performance.now();
	const answers = await answer(asked, kind);
	const wrong = asked.flatMap((item, i) =>
		isRight(answers[i], item.expected) ? [] : [{ item, answer: answers[i] }],
	);
	const right = asked.length - wrong.length;
	rows.push({
		kind,
		items: asked.length,
		right,
		rate: right / asked.length,
		target: TARGETS[kind],
		seconds: (performance.now() - started) / 1000,
	});
	if (values.failures) {
		for (const { item, answer } of wrong) {
			console.log(
				`${item.id}: ${item.prompt ?? item.messages?.at(-1)?.content}`,
			);
			console.log(`  ${JSON.stringify(answer)}`);
		}
	}
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
console.table(
	rows.map(({ kind, items, right, rate, target, seconds }) => ({
		kind,
		items,
		right,
		rate: percent(rate),
		target: percent(target),
		seconds: seconds.toFixed(1),
	})),
);
if (values.json !== undefined) {
	writeFileSync(values.json, `${JSON.stringify({ device, rows }, null, 2)}\n`);
}
process.exitCode = rows.every(({ rate, target }) => rate >= target) ? 0 : 1;
