/** Asks the engine and lets its answer grow: as fast as tokens come, shown once a frame. Several conversations may be answered at once. */
import { type Signal, signal } from "@preact/signals";
import type { AnswerDelta, AnswerToken, Engine, Sampling } from "../engine.ts";
import {
	type AnswerEnd,
	type AnswerTiming,
	type Conversation,
	messagesOf,
	replaceTurn,
	textOf,
} from "./conversation.ts";
import { conversation, keepTokens, putConversation } from "./conversations.ts";

/** An answer that is being written. Its text and tokens grow in place; `frame` tells when to look. */
export interface LiveAnswer {
	readonly conversationId: string;
	readonly frame: Signal<number>;
	text: string;
	readonly tokens: AnswerToken[];
	readonly stop: () => void;
}

/** By the id of the answer's turn. */
export const liveAnswers = signal<ReadonlyMap<string, LiveAnswer>>(new Map());

export function stopAnswers(conversationId: string): void {
	for (const live of liveAnswers.value.values())
		if (live.conversationId === conversationId) live.stop();
}

/** What a page closed in the middle of an answer loses at most. */
const SAVE_INTERVAL_MS = 2000;

/** Answers the last turn of a conversation, which is an empty answer, and puts what came of it in its place. */
export async function answerLast(
	asked: Conversation,
	engine: Engine,
	sampling: Sampling,
): Promise<void> {
	const turn = asked.turns.at(-1);
	if (turn?.kind !== "answer") return;
	const controller = new AbortController();
	const live: LiveAnswer = {
		conversationId: asked.id,
		frame: signal(0),
		text: "",
		tokens: [],
		stop: () => controller.abort(),
	};
	liveAnswers.value = new Map(liveAnswers.value).set(turn.id, live);
	putConversation(asked);
	const put = (end: AnswerEnd | null, timing: AnswerTiming | null) => {
		const now = conversation(asked.id);
		if (now === undefined) return; // deleted meanwhile
		const changed = { ...turn, text: live.text, end, timing };
		putConversation(replaceTurn(now, changed));
	};
	const clock = createClock();
	const onSave = setInterval(() => put(null, null), SAVE_INTERVAL_MS);
	const end = await grow(
		live,
		engine.facts.hasChatTemplate
			? engine.streamChat(messagesOf(asked), sampling, controller.signal)
			: engine.streamText(textOf(asked), sampling, controller.signal),
		controller.signal,
		clock,
	);
	clearInterval(onSave);
	put(end, clock.timing());
	keepTokens(turn.id, live.tokens);
	const rest = new Map(liveAnswers.value);
	rest.delete(turn.id);
	liveAnswers.value = rest;
}

/** Never rejects: what goes wrong is how the answer ended. */
async function grow(
	live: LiveAnswer,
	deltas: AsyncIterable<AnswerDelta>,
	signal: AbortSignal,
	clock: Clock,
): Promise<AnswerEnd> {
	let isDrawn = true;
	const draw = () => {
		isDrawn = true;
		live.frame.value++;
	};
	let reason: "stop" | "length" | "abort" = "stop";
	try {
		for await (const delta of deltas) {
			live.text += delta.text;
			for (const token of delta.tokens) live.tokens.push(token);
			clock.count(delta);
			reason = delta.finishReason ?? reason;
			if (isDrawn) requestAnimationFrame(draw);
			isDrawn = false;
		}
		return { kind: "finished", reason };
	} catch (error) {
		if (signal.aborted) return { kind: "finished", reason: "abort" };
		const message = error instanceof Error ? error.message : String(error);
		return { kind: "failed", message };
	}
}

interface Clock {
	count(delta: AnswerDelta): void;
	/** null: nothing came. */
	timing(): AnswerTiming | null;
}

function createClock(): Clock {
	const startMs = performance.now();
	let firstMs = 0;
	let lastMs = 0;
	let numTokens = 0;
	return {
		count({ tokens, text }) {
			// A server without log-probabilities sends a token at a time, as a rule.
			const number = tokens.length || (text === "" ? 0 : 1);
			if (number === 0) return;
			lastMs = performance.now();
			if (numTokens === 0) firstMs = lastMs;
			numTokens += number;
		},
		timing: () =>
			numTokens === 0
				? null
				: {
						timeToFirstTokenMs: firstMs - startMs,
						decodeMs: lastMs - firstMs,
						numTokens,
					},
	};
}
