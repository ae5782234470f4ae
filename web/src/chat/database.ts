/** Conversations and the tokens of their answers in IndexedDB. Where a browser keeps none, everything lives as long as the page. */
import type { AnswerToken } from "../engine.ts";
import { type Conversation, parseConversation } from "./conversation.ts";

export interface Database {
	readonly conversations: () => Promise<Conversation[]>;
	readonly save: (conversation: Conversation) => Promise<void>;
	/** With the tokens of its answers. */
	readonly remove: (conversation: Conversation) => Promise<void>;
	readonly tokens: (answerId: string) => Promise<readonly AnswerToken[]>;
	readonly saveTokens: (
		answerId: string,
		tokens: readonly AnswerToken[],
	) => Promise<void>;
}

const NAME = "nano-vllm-chat";

export async function openDatabase(): Promise<Database> {
	const opening = indexedDB.open(NAME, 1);
	opening.onupgradeneeded = () => {
		opening.result.createObjectStore("conversations", { keyPath: "id" });
		opening.result.createObjectStore("tokens");
	};
	const database = await done(opening);
	const store = (
		name: "conversations" | "tokens",
		mode: IDBTransactionMode,
	): IDBObjectStore => database.transaction(name, mode).objectStore(name);
	return {
		async conversations() {
			const all = await done(store("conversations", "readonly").getAll());
			return all.map(parseConversation).filter((it) => it !== null);
		},
		async save(conversation) {
			await done(store("conversations", "readwrite").put(conversation));
		},
		async remove({ id, turns }) {
			await done(store("conversations", "readwrite").delete(id));
			const tokens = store("tokens", "readwrite");
			await Promise.all(turns.map((turn) => done(tokens.delete(turn.id))));
		},
		async tokens(answerId) {
			return (await done(store("tokens", "readonly").get(answerId))) ?? [];
		},
		async saveTokens(answerId, tokens) {
			await done(store("tokens", "readwrite").put(tokens, answerId));
		},
	};
}

function done<T>(request: IDBRequest<T>): Promise<T> {
	return new Promise((resolve, reject) => {
		request.onsuccess = () => resolve(request.result);
		request.onerror = () => reject(request.error);
	});
}
