/** Fires requests at an engine and measures what comes back. Knows no page. */
import type { EngineEvent } from "nano-vllm";
import type { Engine } from "../engine.ts";
import { watchOf } from "../inspector/engine-watch.ts";
import { AnswerMeter, EngineMeter, type RunFigures } from "./run-figures.ts";
import type { Request } from "./workload.ts";

export interface RunContext {
	readonly signal: AbortSignal;
	/** Milliseconds, monotonic. */
	readonly now: () => number;
	/** Hears the engine's events, a snapshot first. */
	readonly onEvent: (event: EngineEvent) => void;
}

/** How long events of the last step may be on their way after the last answer. */
const LAST_EVENTS_MS = 150;
/**
 * Prompts on their way to a server at a time. Browsers keep six connections open to one without encryption; one is the events', and one
 * must be left to pause, step and resume.
 */
export const MAX_AT_A_SERVER = 4;
/** How long the first event may take; an engine that shows none says nothing at all. */
const FIRST_EVENT_MS = 1000;

/** @throws what the engine says, or the signal's reason */
export async function run(
	engine: Engine,
	requests: readonly Request[],
	{ signal, now, onEvent }: RunContext,
): Promise<RunFigures> {
	const meter = new EngineMeter();
	const first = Promise.withResolvers<void>();
	const stop = watchOf(engine).follow(
		(event) => {
			meter.push(event);
			onEvent(event);
			first.resolve();
		},
		() => first.resolve(),
	);
	try {
		await Promise.race([first.promise, sleep(FIRST_EVENT_MS)]);
		const answers = new AnswerMeter(now());
		await fire(engine, requests, answers, now, signal);
		const endMs = now();
		await sleep(LAST_EVENTS_MS);
		return answers.figures(endMs, meter.figures());
	} finally {
		stop();
	}
}

/** All at once but those that wait for tokens of the others. The first failure ends all. */
async function fire(
	engine: Engine,
	requests: readonly Request[],
	answers: AnswerMeter,
	now: () => number,
	outer: AbortSignal,
): Promise<void> {
	const failed = new AbortController();
	const signal = AbortSignal.any([outer, failed.signal]);
	const waiting = requests.filter(({ afterTokens }) => afterTokens > 0);
	const running: Promise<void>[] = [];
	const inTurn = atATime(
		engine.facts.place === "server"
			? MAX_AT_A_SERVER
			: Number.POSITIVE_INFINITY,
	);
	const send = (request: Request) =>
		running.push(
			inTurn(() =>
				answer(engine, request, answers, now, signal, sendDue),
			).catch((cause) => failed.abort(cause)),
		);
	const sendDue = () => {
		while (
			waiting.length > 0 &&
			waiting[0].afterTokens <= answers.numOutputTokens
		)
			send(waiting.shift() as Request);
	};
	for (const request of requests) if (request.afterTokens === 0) send(request);
	// Grows while it is walked, as late requests are sent; those that nobody writes enough for come last.
	for (let i = 0; i < running.length; i++) {
		await running[i];
		if (i === running.length - 1 && !signal.aborted)
			for (const request of waiting.splice(0)) send(request);
	}
	signal.throwIfAborted();
}

async function answer(
	engine: Engine,
	{ prompt, numOutputTokens }: Request,
	answers: AnswerMeter,
	now: () => number,
	signal: AbortSignal,
	onTokens: () => void,
): Promise<void> {
	const count = answers.request(now());
	const sampling = {
		temperature: 0,
		maxTokens: numOutputTokens,
		ignoreEos: true,
	};
	for await (const { tokens } of engine.streamText(prompt, sampling, signal)) {
		count(tokens.length, now());
		onTokens();
	}
}

/** Begins works in order, so many at a time. */
function atATime(most: number): (work: () => Promise<void>) => Promise<void> {
	const queue: (() => void)[] = [];
	let numBusy = 0;
	return async (work) => {
		if (numBusy >= most)
			await new Promise<void>((resolve) => queue.push(resolve));
		numBusy++;
		try {
			await work();
		} finally {
			numBusy--;
			queue.shift()?.();
		}
	};
}

function sleep(ms: number): Promise<void> {
	return new Promise((resolve) => setTimeout(resolve, ms));
}
