/** A conversation as data: turns, and the changes one can make to them. Knows no engine, no page. */
import type { ChatMessage } from "../engine.ts";

export interface Conversation {
	readonly id: string;
	readonly title: string;
	readonly createdAt: number;
	readonly updatedAt: number;
	/** Instructions before the first turn; "": none. */
	readonly system: string;
	readonly turns: readonly Turn[];
}

export type Turn = UserTurn | AnswerTurn;

export interface UserTurn {
	readonly kind: "user";
	readonly id: string;
	readonly text: string;
}

export interface AnswerTurn {
	readonly kind: "answer";
	readonly id: string;
	readonly text: string;
	readonly modelName: string;
	/** null: not over yet, or cut off with the page. */
	readonly end: AnswerEnd | null;
	readonly timing: AnswerTiming | null;
}

export type AnswerEnd =
	| {
			readonly kind: "finished";
			readonly reason: "stop" | "length" | "abort";
	  }
	| { readonly kind: "failed"; readonly message: string };

export interface AnswerTiming {
	readonly timeToFirstTokenMs: number;
	/** From the first token to the last. */
	readonly decodeMs: number;
	readonly numTokens: number;
}

const UNTITLED = "New conversation";
const MAX_TITLE = 60;

export const newId = (): string => crypto.randomUUID();

export function newConversation(now: number): Conversation {
	return {
		id: newId(),
		title: UNTITLED,
		createdAt: now,
		updatedAt: now,
		system: "",
		turns: [],
	};
}

/** With another question, and room for its answer. */
export function ask(
	conversation: Conversation,
	text: string,
	modelName: string,
	now: number,
): Conversation {
	const question: UserTurn = { kind: "user", id: newId(), text };
	const turns = [...conversation.turns, question, newAnswer(modelName)];
	const title =
		conversation.turns.length === 0 && conversation.title === UNTITLED
			? titleOf(text)
			: conversation.title;
	return { ...conversation, title, turns, updatedAt: now };
}

/** Without a turn and all that follows. */
export function cutAt(
	conversation: Conversation,
	turnId: string,
): Conversation {
	const at = conversation.turns.findIndex(({ id }) => id === turnId);
	const turns = at < 0 ? conversation.turns : conversation.turns.slice(0, at);
	return { ...conversation, turns };
}

/** Room for another answer to the last question. */
export function askAgain(
	conversation: Conversation,
	answerId: string,
	modelName: string,
	now: number,
): Conversation {
	const { turns, ...rest } = cutAt(conversation, answerId);
	return { ...rest, turns: [...turns, newAnswer(modelName)], updatedAt: now };
}

export function replaceTurn(
	conversation: Conversation,
	turn: Turn,
): Conversation {
	const turns = conversation.turns.map((it) => (it.id === turn.id ? turn : it));
	return { ...conversation, turns };
}

function newAnswer(modelName: string): AnswerTurn {
	return {
		kind: "answer",
		id: newId(),
		text: "",
		modelName,
		end: null,
		timing: null,
	};
}

function titleOf(text: string): string {
	const line = text.trim().replace(/\s+/g, " ");
	return line.length <= MAX_TITLE ? line : `${line.slice(0, MAX_TITLE - 1)}…`;
}

/** What the model reads. Answers that came to nothing are left out, with what was asked. */
export function messagesOf({ system, turns }: Conversation): ChatMessage[] {
	const messages: ChatMessage[] = [];
	if (system !== "") messages.push({ role: "system", content: system });
	for (const turn of turns) {
		if (turn.kind === "user") {
			messages.push({ role: "user", content: turn.text });
			continue;
		}
		if (turn.text !== "")
			messages.push({ role: "assistant", content: turn.text });
		else if (turn !== turns.at(-1)) messages.pop();
	}
	return messages;
}

/** One text to continue, for a model that knows no conversation. */
export function textOf({ system, turns }: Conversation): string {
	const texts = [system, ...turns.map(({ text }) => text)];
	return texts.filter((text) => text !== "").join("\n");
}

/** Unknown JSON, from a store or a file → a conversation; null: it is none. */
export function parseConversation(value: unknown): Conversation | null {
	const it = value as Conversation;
	const isOne =
		typeof it?.id === "string" &&
		typeof it.title === "string" &&
		typeof it.updatedAt === "number" &&
		Array.isArray(it.turns) &&
		it.turns.every((turn) => typeof turn?.id === "string");
	return isOne ? it : null;
}
