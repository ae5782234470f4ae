/**
 * Structured outputs as the engine wants them: a spec becomes a compiled grammar, a grammar a constraint for each sequence.
 * Two threads do it. `trial` compiles what comes in first, and is replaced when that fails or takes too long; `live` compiles
 * what passed, and keeps the matchers. So nobody's mistake reaches another's answer, and the engine's thread never waits.
 */
import type { TokenConstraint } from "../engine/constraint.ts";
import { NanoVllmError } from "../errors.ts";
import type { Platform } from "../platform/platform.ts";
import { createMatchers, type StartMatcher } from "./matchers.ts";
import type { GrammarSpec, Vocabulary } from "./messages.ts";
import { GrammarFailure, type GrammarThread, startThread } from "./thread.ts";

export interface Grammars {
	/**
	 * A spec is compiled when it is new.
	 * @throws (rejects) invalid_sampling_params with XGrammar's reason, device_unavailable where it is not installed
	 */
	compile(spec: GrammarSpec): Promise<Grammar>;
	close(): Promise<void>;
}

/** A compiled grammar, kept as long as it is held or one of its sequences runs. */
export interface Grammar {
	/** The constraint of a sequence that begins. */
	start(): TokenConstraint;
	/** Called once by whoever compiled it, when nothing more will start. */
	release(): void;
}

export interface GrammarsOptions {
	readonly platform: Platform;
	/** Asked for once, by the first spec. */
	readonly vocabulary: () => Vocabulary;
	/** A grammar that takes longer is refused. */
	readonly maxCompileMs?: number;
	/** Grammars kept beyond their use, for requests to come; the least recently used goes first. */
	readonly maxCached?: number;
}

/** Large schemas over vocabularies of 150,000 tokens take a second or two; what takes ten has no end in sight. */
const MAX_COMPILE_MS = 10_000;
const MAX_CACHED = 64;

interface LiveThread {
	readonly thread: GrammarThread;
	readonly startMatcher: StartMatcher;
}

interface Compiled {
	readonly id: number;
	readonly ready: Promise<LiveThread & { readonly firstMask: Uint32Array }>;
	/** Holders and sequences. */
	numUsers: number;
}

export function createGrammars(options: GrammarsOptions): Grammars {
	const { maxCached = MAX_CACHED } = options;
	/** By spec, least recently used first. */
	const cache = new Map<string, Compiled>();
	let vocabulary: Vocabulary | null = null;
	let live: LiveThread | null = null;
	let closed: NanoVllmError | null = null;
	let numCompiled = 0;

	const startNew = (): GrammarThread => {
		if (closed !== null) throw closed;
		vocabulary ??= options.vocabulary();
		return startThread(options.platform, vocabulary);
	};
	const trial = createTrial(startNew, options.maxCompileMs ?? MAX_COMPILE_MS);

	const compile = async (id: number, spec: GrammarSpec) => {
		await trial.run(id, spec);
		if (!live?.thread.isAlive) {
			const thread = startNew();
			live = { thread, startMatcher: createMatchers(thread) };
		}
		const { thread, startMatcher } = live;
		const firstMask = await thread.call({ kind: "compile", grammar: id, spec });
		return { thread, startMatcher, firstMask };
	};

	const find = (key: string, spec: GrammarSpec): Compiled => {
		const known = cache.get(key);
		const id = numCompiled++;
		const found = known ?? { id, ready: compile(id, spec), numUsers: 0 };
		cache.delete(key);
		cache.set(key, found);
		return found;
	};

	const forgetOldest = () => {
		for (const [key, { id, ready, numUsers }] of cache) {
			if (cache.size <= maxCached) return;
			if (numUsers > 0) continue;
			cache.delete(key);
			void ready
				.then(({ thread }) => thread.call({ kind: "forget", grammar: id }))
				.catch(() => {});
		}
	};

	return {
		async compile(spec) {
			const key = JSON.stringify(spec);
			const compiled = find(key, spec);
			const release = () => {
				compiled.numUsers--;
				forgetOldest();
			};
			compiled.numUsers++;
			try {
				const { thread, startMatcher, firstMask } = await compiled.ready;
				if (!thread.isAlive) throw new GrammarFailure("it had ended");
				const start = () => {
					compiled.numUsers++;
					return startMatcher(compiled.id, firstMask, release);
				};
				return { start, release };
			} catch (error) {
				release();
				if (cache.get(key) === compiled) cache.delete(key);
				throw error instanceof GrammarFailure ? lost(error) : error;
			}
		},
		async close() {
			closed ??= new NanoVllmError(
				"engine_closed",
				"the model was closed. Load it again.",
			);
			await Promise.all([trial.end(closed), live?.thread.end(closed)]);
		},
	};
}

/** Compiles one spec after another, each in its time, on a thread that is replaced when one fails. */
function createTrial(startNew: () => GrammarThread, maxCompileMs: number) {
	let current: GrammarThread | null = null;
	let last: Promise<void> = Promise.resolve();
	const compile = async (id: number, spec: GrammarSpec): Promise<void> => {
		if (!current?.isAlive) current = startNew();
		const thread = current;
		const late = setTimeout(() => {
			const told = `this takes longer than ${maxCompileMs} ms to compile`;
			void thread.end(new GrammarFailure(told));
		}, maxCompileMs);
		try {
			await thread.call({ kind: "compile", grammar: id, spec });
			await thread.call({ kind: "forget", grammar: id });
		} catch (error) {
			throw error instanceof GrammarFailure ? refused(spec, error) : error;
		} finally {
			clearTimeout(late);
		}
	};
	return {
		run(id: number, spec: GrammarSpec): Promise<void> {
			const run = last.then(() => compile(id, spec));
			last = run.catch(() => {});
			return run;
		},
		end: async (error: Error) => current?.end(error),
	};
}

function refused(spec: GrammarSpec, { message }: Error): NanoVllmError {
	// Positions are those of a pattern that was rewritten.
	const words = message.replace(/^(Regex .*?) at position \d+/, "$1");
	return new NanoVllmError(
		"invalid_sampling_params",
		`structuredOutputs.${spec.kind}: XGrammar says "${words.replace(/\.$/, "")}". Mend it, or make it simpler.`,
	);
}

/** The thread of the matchers died: a bug, or no memory left. The next request gets a new one. */
function lost(cause: Error): NanoVllmError {
	return new NanoVllmError(
		"backend_failed",
		`structured outputs: the thread of grammars died: ${cause.message}. Ask again; if it stays, with a simpler grammar.`,
		{ cause },
	);
}
