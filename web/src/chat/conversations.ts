/** All conversations of this browser, newest first, and the one on the page. Every change goes to the database; the page does not wait for it. */
import { computed, effect, signal } from "@preact/signals";
import type { AnswerToken } from "../engine.ts";
import { readStored, writeStored } from "../stored.ts";
import {
	type Conversation,
	newConversation,
	type Turn,
} from "./conversation.ts";
import { type Database, openDatabase } from "./database.ts";

/** Older ones are dropped when the page is opened. */
const MAX_CONVERSATIONS = 200;
/** Of an answer, for its probabilities. */
const MAX_KEPT_TOKENS = 4096;

const byId = signal<ReadonlyMap<string, Conversation>>(new Map());

/** A draft has no turns and is not kept. */
const draft = signal<Conversation>(newConversation(Date.now()));

/** null: the draft. */
export const currentId = signal<string | null>(null);

/** What could not be kept, and why; null: all is well. */
export const storageTrouble = signal<string | null>(null);

export const conversations = computed(() =>
	[...byId.value.values()].sort((a, b) => b.updatedAt - a.updatedAt),
);

export const current = computed(
	() => byId.value.get(currentId.value ?? "") ?? draft.value,
);

const KEY = "conversation";

let database: Database | null = null;

/** Reads them, and shows the one that was open in this tab. */
export async function openConversations(): Promise<void> {
	try {
		database = await openDatabase();
		const all = await database.conversations();
		const kept = all.sort((a, b) => b.updatedAt - a.updatedAt);
		for (const old of kept.splice(MAX_CONVERSATIONS))
			await database.remove(old);
		// What was asked before they were read stays.
		byId.value = new Map([
			...kept.map((it) => [it.id, it] as const),
			...byId.value,
		]);
		const last = readStored(KEY, "tab");
		if (currentId.value === null && byId.value.has(last ?? ""))
			currentId.value = last;
		effect(() => writeStored(KEY, currentId.value, "tab"));
	} catch (error) {
		report(error);
	}
}

export const conversation = (id: string): Conversation | undefined =>
	byId.value.get(id);

/** A draft becomes a conversation with its first turn. */
export function putConversation(changed: Conversation): void {
	if (changed.id === draft.value.id && changed.turns.length === 0) {
		draft.value = changed;
		return;
	}
	byId.value = new Map(byId.value).set(changed.id, changed);
	if (changed.id === draft.value.id) {
		draft.value = newConversation(Date.now());
		currentId.value = changed.id;
	}
	database?.save(changed).catch(report);
}

export function startNew(): void {
	draft.value = newConversation(Date.now());
	currentId.value = null;
}

export function removeConversation(id: string): void {
	const removed = byId.value.get(id);
	if (removed === undefined) return;
	const rest = new Map(byId.value);
	rest.delete(id);
	byId.value = rest;
	if (currentId.value === id) startNew();
	database?.remove(removed).catch(report);
}

/** Of answers whose tokens are not in the database (yet). */
const tokensOnPage = new Map<string, readonly AnswerToken[]>();

export async function tokensOf({
	id,
}: Pick<Turn, "id">): Promise<readonly AnswerToken[]> {
	const here = tokensOnPage.get(id);
	if (here !== undefined) return here;
	return (await database?.tokens(id).catch(() => [])) ?? [];
}

export function keepTokens(
	answerId: string,
	tokens: readonly AnswerToken[],
): void {
	if (database === null) {
		tokensOnPage.set(answerId, tokens);
		return;
	}
	database.saveTokens(answerId, tokens.slice(0, MAX_KEPT_TOKENS)).catch(report);
}

function report(error: unknown): void {
	const reason = error instanceof Error ? error.message : String(error);
	storageTrouble.value = `This browser does not keep conversations (${reason}). They are gone when the page is closed; export what you need.`;
}
