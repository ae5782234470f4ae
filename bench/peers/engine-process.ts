/**
 * An engine in a process of its own that stays loaded while it waits: one side starts it and asks for runs, the other answers.
 * Knows none of the engines.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import type { Shape, Speeds } from "./measures.ts";

/** What a child is started with, as its only argument. */
export interface EngineStart {
	/** Directory of config.json, or a model file: what the engine reads. */
	readonly model: string;
	readonly format: string;
	readonly threads: number;
	readonly longest: Shape;
	/** Of our engine: --no-wasm-revectorize */
	readonly revectorize: boolean;
}

/** One engine, loaded. */
export interface Engine {
	/** What it says about itself and the processor. */
	readonly about: string;
	/** Runs the shape once, with prompts it has not seen. */
	run(shape: Shape): Promise<Speeds>;
	close(): Promise<void>;
}

export interface EngineProcess extends Engine {
	readonly loadMs: number;
	peakRssBytes(): number;
}

type Answer =
	| { readonly kind: "ready"; readonly about: string }
	| {
			readonly kind: "speeds";
			readonly speeds: Speeds;
			readonly peakRssBytes: number;
	  }
	| { readonly kind: "failed"; readonly message: string };

type Question =
	| { readonly kind: "run"; readonly shape: Shape }
	| { readonly kind: "close" };

/** @throws what the engine throws, and where its process ends early */
export async function startEngine(
	script: URL,
	start: EngineStart,
): Promise<EngineProcess> {
	const begin = performance.now();
	const child = fork(script, [JSON.stringify(start)]);
	const answer = async (): Promise<Answer> => {
		const ended = new AbortController();
		const { signal } = ended;
		try {
			const got = await Promise.race([
				once(child, "message", { signal }),
				once(child, "exit", { signal }).then(([code]) => {
					throw new Error(`${script.pathname} ended with code ${code}`);
				}),
			]);
			const message = got[0] as Answer;
			if (message.kind === "failed") throw new Error(message.message);
			return message;
		} finally {
			ended.abort();
		}
	};
	const ask = (question: Question) => child.send(question);
	const first = await answer();
	const about = first.kind === "ready" ? first.about : "";
	const loadMs = performance.now() - begin;
	let peakRssBytes = 0;
	return {
		about,
		loadMs,
		peakRssBytes: () => peakRssBytes,
		async run(shape) {
			ask({ kind: "run", shape });
			const result = await answer();
			if (result.kind !== "speeds") throw new Error(`got ${result.kind}`);
			peakRssBytes = result.peakRssBytes;
			return result.speeds;
		},
		async close() {
			const exit = once(child, "exit");
			ask({ kind: "close" });
			await exit;
		},
	};
}

/** The child's side: loads its engine, then runs what it is asked for until it is told to close. */
export async function serveEngine(
	open: (start: EngineStart) => Promise<Engine>,
): Promise<void> {
	const tell = (answer: Answer) => process.send?.(answer);
	const attempt = async (work: () => Promise<Answer>) => {
		try {
			tell(await work());
		} catch (error) {
			tell({ kind: "failed", message: String(error) });
			process.disconnect?.();
			process.exitCode = 1;
		}
	};
	await attempt(async () => {
		const engine = await open(JSON.parse(process.argv[2]));
		process.on("message", async (question: Question) => {
			if (question.kind === "close") {
				await engine.close();
				process.disconnect?.();
				return;
			}
			await attempt(async () => {
				const speeds = await engine.run(question.shape);
				const peakRssBytes = process.resourceUsage().maxRSS * 1024;
				return { kind: "speeds", speeds, peakRssBytes };
			});
		});
		return { kind: "ready", about: engine.about };
	});
}
