/** Compiled grammars and their matchers: kept, forgotten, given up on in time, freed. On a vocabulary of single bytes. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { platform } from "../../src/platform/node.ts";
import type { Platform, WorkerHandle } from "../../src/platform/platform.ts";
import {
	createGrammars,
	type Grammars,
} from "../../src/structured/grammars.ts";
import type {
	GrammarAnswer,
	GrammarMessage,
	GrammarSpec,
	Vocabulary,
} from "../../src/structured/messages.ts";

const STOP = 256;
const bytes: Vocabulary = {
	bytes: Uint8Array.from({ length: 256 }, (_, i) => i),
	ends: Uint32Array.from({ length: 257 }, (_, i) => Math.min(i + 1, 256)),
	stopTokenIds: [STOP],
};

/** The platform, with every message to its workers written down. */
function listening(): { platform: Platform; sent: GrammarMessage[] } {
	const sent: GrammarMessage[] = [];
	const spawnWorker: Platform["spawnWorker"] = (module, data) => {
		const worker = platform.spawnWorker(module, data);
		const postMessage = (message: unknown) => {
			sent.push(message as GrammarMessage);
			worker.postMessage(message);
		};
		return { ...worker, postMessage };
	};
	return { platform: { ...platform, spawnWorker }, sent };
}

const open: Grammars[] = [];
function grammarsOf(
	options: Partial<Parameters<typeof createGrammars>[0]> = {},
) {
	const { platform, sent } = listening();
	const grammars = createGrammars({
		platform,
		vocabulary: () => bytes,
		...options,
	});
	open.push(grammars);
	const count = (kind: GrammarMessage["kind"]) =>
		sent.filter((message) => message.kind === kind).length;
	return { grammars, sent, count };
}
after(() => Promise.all(open.map((grammars) => grammars.close())));

const regex = (pattern: string): GrammarSpec => ({ kind: "regex", pattern });
const allowed = (mask: Uint32Array | null): number[] =>
	Array.from({ length: 257 }, (_, id) => id).filter(
		(id) => mask === null || (mask[id >> 5] >>> (id & 31)) & 1,
	);
const codes = (text: string) => [...text].map((c) => c.charCodeAt(0));
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test("masks follow the tokens; the end-of-sequence token is allowed where the text is complete, and only there", async () => {
	const { grammars } = grammarsOf();
	const grammar = await grammars.compile(regex("a(bc?)?"));
	const one = grammar.start();
	assert.equal(one.pending, null);
	assert.deepEqual(allowed(one.mask), codes("a"));
	const expected = [[...codes("b"), STOP], [...codes("c"), STOP], [STOP]];
	for (const [i, token] of codes("abc").entries()) {
		one.accept(token);
		assert.ok(one.pending !== null);
		await one.pending;
		assert.equal(one.pending, null);
		assert.deepEqual(allowed(one.mask), expected[i]);
	}
	one.dispose();
	grammar.release();
});

test("the tokens of one step travel together", async () => {
	const { grammars, count } = grammarsOf();
	const grammar = await grammars.compile(regex("[ab]+"));
	const many = Array.from({ length: 50 }, () => grammar.start());
	for (let step = 0; step < 4; step++) {
		for (const each of many) each.accept(97);
		await Promise.all(many.map(({ pending }) => pending));
	}
	assert.equal(count("accept"), 4);
	for (const each of many) each.dispose();
	await turn();
	assert.equal(count("end"), 1);
	grammar.release();
});

test("a spec is compiled once while it is kept; the least recently used is forgotten, none that is in use", async () => {
	const { grammars, sent, count } = grammarsOf({ maxCached: 2 });
	const use = async (pattern: string) =>
		(await grammars.compile(regex(pattern))).release();
	const [a, again] = await Promise.all([
		grammars.compile(regex("a")),
		grammars.compile(regex("a")),
	]);
	assert.equal(count("compile"), 2, "once on trial, once for good");
	const running = a.start();
	a.release();
	again.release();
	for (const pattern of ["b", "c", "d", "d"]) await use(pattern);
	await turn();
	assert.equal(count("compile"), 8);
	running.accept(97);
	await running.pending;
	assert.deepEqual(allowed(running.mask), [STOP]);
	await use("a");
	assert.equal(count("compile"), 8, "in use, so kept");
	running.dispose();
	await use("e");
	await turn();
	await use("a");
	const forgotten = sent.filter(({ kind }) => kind === "forget").length;
	assert.ok(
		forgotten >= 5 + 3,
		`${forgotten}: every trial, and three of the kept`,
	);
});

test("what takes too long, or is refused, ends in an error that names it; what runs does not notice", async () => {
	const { grammars } = grammarsOf({ maxCompileMs: 1000 });
	const grammar = await grammars.compile(regex("x*"));
	const running = grammar.start();
	const slow = regex("(?:(?:[a-z]{1,300}[0-9]?){1,300}){1,60}");
	const error = (message: RegExp) => ({
		code: "invalid_sampling_params",
		message,
	});
	const refusals = [
		assert.rejects(
			grammars.compile(slow),
			error(/regex: XGrammar says "this takes longer than 1000 ms/),
		),
		assert.rejects(
			grammars.compile(regex("(")),
			error(/parenthesis is not closed/),
		),
		assert.rejects(
			grammars.compile({ kind: "grammar", ebnf: "root ::= b" }),
			error(/"b" is not defined/),
		),
		grammars.compile(regex("z")).then((it) => it.release()),
	];
	for (let i = 0; i < 20; i++) {
		running.accept(120);
		await running.pending;
		assert.deepEqual(allowed(running.mask), [120, STOP]);
	}
	await Promise.all(refusals);
	running.dispose();
	grammar.release();
});

test("a token that its mask did not allow is a bug of ours: that thread ends, the next request gets another", async () => {
	const { grammars } = grammarsOf();
	const grammar = await grammars.compile(regex("a"));
	const wrong = grammar.start();
	wrong.accept(98);
	await assert.rejects(
		wrong.pending ?? Promise.resolve(),
		/token 98 is not one/,
	);
	wrong.dispose();
	grammar.release();
	await assert.rejects(grammars.compile(regex("a")), {
		code: "backend_failed",
	});
	const next = await grammars.compile(regex("a"));
	assert.deepEqual(allowed(next.start().mask), codes("a"));
});

test("without the package: which one, and how to get it", async () => {
	const absent = (): WorkerHandle => {
		const answer: GrammarAnswer = { kind: "absent" };
		return {
			postMessage() {},
			onMessage: (listener) => void setImmediate(() => listener(answer)),
			onError() {},
			setReferenced() {},
			async terminate() {},
		};
	};
	const { grammars } = grammarsOf({
		platform: { ...platform, spawnWorker: absent },
	});
	await assert.rejects(grammars.compile(regex("a")), {
		code: "device_unavailable",
		message: /npm install @mlc-ai\/web-xgrammar@0\.1\.27/,
	});
});

test("closed grammars answer nobody", async () => {
	const { grammars } = grammarsOf();
	const grammar = await grammars.compile(regex("a+"));
	const one = grammar.start();
	one.accept(97);
	const late = assert.rejects(one.pending ?? Promise.resolve(), {
		code: "engine_closed",
	});
	await grammars.close();
	await late;
	await assert.rejects(grammars.compile(regex("b")), { code: "engine_closed" });
});

test("matchers and grammars are freed: over thousands of them, what began has ended", async () => {
	const { grammars, sent } = grammarsOf({ maxCached: 4 });
	for (let round = 0; round < 30; round++) {
		const grammar = await grammars.compile(regex(`(?:x|y{${round}})+`));
		const many = Array.from({ length: 100 }, () => grammar.start());
		grammar.release();
		for (let step = 0; step < 2; step++) {
			// The last ten end before they have begun.
			for (const each of many.slice(10)) each.accept(120);
			await many[10].pending;
		}
		for (const each of many) each.dispose();
		await turn();
	}
	const begun = new Set<number>();
	const ended: number[] = [];
	const kept = new Set<number>();
	let most = 0;
	for (const message of sent) {
		if (message.kind === "accept")
			for (const id of message.matchers) begun.add(id);
		if (message.kind === "end") ended.push(...message.matchers);
		if (message.kind === "compile") kept.add(message.grammar);
		if (message.kind === "forget") kept.delete(message.grammar);
		most = Math.max(most, begun.size - ended.length);
	}
	assert.equal(begun.size, 2700);
	assert.deepEqual(new Set(ended), begun);
	assert.equal(ended.length, begun.size);
	assert.ok(most <= 90, `${most} at once`);
	assert.ok(kept.size <= 4, `${kept.size} grammars kept`);
});
