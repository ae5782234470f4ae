/**
 * The grammar thread: compiles grammars, keeps a matcher for every constrained sequence, answers with masks of allowed tokens.
 * XGrammar (Dong et al. 2024) does the work. A grammar it refuses aborts its WebAssembly module for good and says why on the
 * console only: hence a thread of its own, which its owner replaces.
 */
import { loadPlatform } from "../platform/detect.ts";
import { workerPort } from "../platform/worker-port.ts";
import type {
	GrammarAnswer,
	GrammarMessage,
	GrammarSpec,
	Vocabulary,
} from "./messages.ts";
import { schemaGrammar, type XGrammar } from "./schema-grammar.ts";

type Compiler = Awaited<
	ReturnType<XGrammar["GrammarCompiler"]["createGrammarCompiler"]>
>;
type CompiledGrammar = Awaited<ReturnType<Compiler["compileGrammar"]>>;
type Matcher = Awaited<
	ReturnType<XGrammar["GrammarMatcher"]["createGrammarMatcher"]>
>;

type Handler = (message: GrammarMessage) => Promise<Uint32Array<ArrayBuffer>>;

const port = workerPort();
const answer = (it: GrammarAnswer, transfer?: ArrayBuffer[]) =>
	port.postMessage(it, transfer);

/** The last line XGrammar wrote before it gave up: "[FATAL] file:line: what". */
let lastWords = "";
console.error = (line: unknown) => {
	const fatal = /^\[FATAL\] \S+:\d+: (.*)$/s.exec(String(line));
	if (fatal) lastWords = fatal[1].trim();
};
console.log = () => {};

/** Messages in order, one after another; the first one brings the vocabulary. */
let queue: Promise<unknown> = Promise.resolve();
let handle: Handler | null = null;
port.onMessage((message) => {
	queue = queue.then(() => take(message)).catch(giveUp);
});

async function take(message: unknown): Promise<void> {
	if (handle === null) {
		const module = await (await loadPlatform()).xgrammar();
		if (module === null) return answer({ kind: "absent" });
		handle = await open(module as XGrammar, message as Vocabulary);
		return;
	}
	const masks = await handle(message as GrammarMessage);
	answer({ kind: "done", masks }, [masks.buffer]);
}

function giveUp(cause: unknown): Promise<never> {
	const message = lastWords || (cause instanceof Error && cause.message);
	answer({ kind: "failed", message: String(message || cause) });
	return new Promise(() => {}); // nothing that follows is answered
}

async function open(
	xgrammar: XGrammar,
	{ bytes, ends, stopTokenIds }: Vocabulary,
): Promise<Handler> {
	// Bytes go where strings are declared: not every token is a text, and XGrammar takes them as they are.
	const tokens = Array.from(ends, (end, t) =>
		bytes.subarray(t === 0 ? 0 : ends[t - 1], end),
	) as unknown as string[];
	const info = await xgrammar.TokenizerInfo.createTokenizerInfo(
		tokens,
		"raw",
		false,
		ends.length,
		[...stopTokenIds],
	);
	const compiler = await xgrammar.GrammarCompiler.createGrammarCompiler(
		info,
		false, // its owner keeps what is worth keeping
	);
	const grammars = new Map<number, CompiledGrammar>();
	const matchers = new Map<number, Matcher>();
	const start = (grammar: number) =>
		xgrammar.GrammarMatcher.createGrammarMatcher(known(grammars, grammar));

	const accept = async (id: number, grammar: number, tokenId: number) => {
		const matcher = matchers.get(id) ?? (await start(grammar));
		matchers.set(id, matcher);
		if (!matcher.acceptToken(tokenId))
			throw new Error(`token ${tokenId} is not one its mask allowed`);
		return matcher.getNextTokenBitmask();
	};

	const firstMask = async (grammar: number) => {
		const matcher = await start(grammar);
		const mask = await matcher.getNextTokenBitmask();
		matcher.dispose();
		return Uint32Array.from(mask);
	};

	return async (message) => {
		switch (message.kind) {
			case "compile":
				grammars.set(
					message.grammar,
					await compile(xgrammar, compiler, message.spec),
				);
				return firstMask(message.grammar);
			case "forget":
				known(grammars, message.grammar).dispose();
				grammars.delete(message.grammar);
				return new Uint32Array(0);
			case "accept": {
				const ids = message.matchers;
				const words = Math.ceil(ends.length / 32);
				const masks = new Uint32Array(ids.length * words);
				for (let i = 0; i < ids.length; i++) {
					const { grammars, tokenIds } = message;
					const mask = await accept(ids[i], grammars[i], tokenIds[i]);
					masks.set(mask, i * words);
				}
				return masks;
			}
			case "end":
				for (const id of message.matchers) {
					known(matchers, id).dispose();
					matchers.delete(id);
				}
				return new Uint32Array(0);
			default:
				return message satisfies never;
		}
	};
}

async function compile(
	xgrammar: XGrammar,
	compiler: Compiler,
	spec: GrammarSpec,
): Promise<CompiledGrammar> {
	switch (spec.kind) {
		case "json":
			return compiler.compileGrammar(await schemaGrammar(xgrammar, spec));
		case "regex":
			return compiler.compileStructuralTag({
				type: "regex",
				pattern: spec.pattern,
			});
		case "choice":
			return compiler.compileStructuralTag({
				type: "or",
				elements: spec.choices.map((value) => ({
					type: "const_string",
					value,
				})),
			});
		case "grammar":
			return compiler.compileGrammar(spec.ebnf);
		default:
			return spec satisfies never;
	}
}

function known<T>(items: ReadonlyMap<number, T>, id: number): T {
	const item = items.get(id);
	if (item === undefined) throw new Error(`there is no number ${id}`);
	return item;
}
