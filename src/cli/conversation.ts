/** A conversation that fits a context: the oldest turns go first, the system message stays. Knows no engine and no terminal. */
import type { ChatMessage } from "../index.ts";

/** What a chat template puts around a message, roughly: ChatML's start, role, line feed, end, line feed. */
const TOKENS_AROUND_MESSAGE = 5;

export class Conversation {
	readonly #countTokens: (text: string) => number;
	#system: string | null;
	/** User and assistant in turn. */
	#turns: ChatMessage[] = [];

	constructor(system: string | null, countTokens: (text: string) => number) {
		this.#system = system;
		this.#countTokens = countTokens;
	}

	get messages(): readonly ChatMessage[] {
		const system = this.#system;
		if (system === null) return this.#turns;
		return [{ role: "system", content: system }, ...this.#turns];
	}

	/** An estimate: what the template adds is not known here. */
	get numTokens(): number {
		let count = 0;
		for (const { content } of this.messages)
			count += this.#countTokens(content as string) + TOKENS_AROUND_MESSAGE;
		return count;
	}

	ask(content: string): void {
		this.#turns.push({ role: "user", content });
	}

	answer(content: string): void {
		this.#turns.push({ role: "assistant", content });
	}

	/** Takes back a question that could not be answered. */
	withdraw(): void {
		if (this.#turns.at(-1)?.role === "user") this.#turns.pop();
	}

	/** Forgets the oldest question and its answer. @returns false where only the current question is left */
	dropOldest(): boolean {
		if (this.#turns.length < 3) return false;
		this.#turns = this.#turns.slice(2);
		return true;
	}

	reset(): void {
		this.#turns = [];
	}

	/** A new system message begins a new conversation. */
	setSystem(system: string | null): void {
		this.#system = system;
		this.reset();
	}
}
