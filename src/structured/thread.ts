/** A grammar thread as its owner sees it: calls answered in order, and an end. Knows messages, not what they mean. */
import { NanoVllmError } from "../errors.ts";
import type {
	Platform,
	WorkerHandle,
	WorkerModule,
} from "../platform/platform.ts";
import type { GrammarAnswer, GrammarMessage, Vocabulary } from "./messages.ts";

export interface GrammarThread {
	/** False once a call has failed or the thread was ended: make another. */
	readonly isAlive: boolean;
	/** @throws (rejects) GrammarFailure where XGrammar gives up, device_unavailable where it is not installed */
	call(message: GrammarMessage): Promise<Uint32Array<ArrayBuffer>>;
	/** Calls under way are rejected with `error`. */
	end(error: Error): Promise<void>;
}

/** XGrammar's own words about what it could not do. */
export class GrammarFailure extends Error {}

interface Waiting {
	readonly resolve: (masks: Uint32Array<ArrayBuffer>) => void;
	readonly reject: (error: Error) => void;
}

/** As source, as a build, or beside a bundle. */
function threadModule(): WorkerModule {
	const here = import.meta.url;
	const kind = here.endsWith(".ts") ? "ts" : "js";
	return {
		url: new URL(`./grammar-worker.${kind}`, here),
		create: () =>
			new Worker(new URL("./grammar-worker.js", import.meta.url), {
				type: "module",
			}),
	};
}

export function startThread(
	platform: Platform,
	vocabulary: Vocabulary,
): GrammarThread {
	const waiting: Waiting[] = [];
	let failure: Error | null = null;
	const worker: WorkerHandle = platform.spawnWorker(threadModule(), vocabulary);
	const end = async (error: Error) => {
		if (failure !== null) return;
		failure = error;
		for (const { reject } of waiting.splice(0)) reject(error);
		await worker.terminate();
	};
	worker.onMessage((message) => {
		const answer = message as GrammarAnswer;
		switch (answer.kind) {
			case "done":
				waiting.shift()?.resolve(answer.masks);
				if (waiting.length === 0) worker.setReferenced(false);
				return;
			case "failed":
				return void end(new GrammarFailure(answer.message));
			case "absent":
				return void end(
					new NanoVllmError(
						"device_unavailable",
						platform.name === "node"
							? "structuredOutputs need the npm package @mlc-ai/web-xgrammar, which is not installed here. npm install @mlc-ai/web-xgrammar@0.1.27"
							: "structuredOutputs need lib/index.js of the npm package @mlc-ai/web-xgrammar, served as web-xgrammar.js beside grammar-worker.js. Copy it there.",
					),
				);
			default:
				answer satisfies never;
		}
	});
	worker.onError((error) => void end(new GrammarFailure(error.message)));
	worker.setReferenced(false);
	return {
		get isAlive() {
			return failure === null;
		},
		call(message) {
			if (failure !== null) return Promise.reject(failure);
			if (waiting.length === 0) worker.setReferenced(true);
			worker.postMessage(message);
			return new Promise((resolve, reject) => {
				waiting.push({ resolve, reject });
			});
		},
		end,
	};
}
