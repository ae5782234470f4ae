/**
 * The output items of a response: a thought, a message, calls of functions, built piece by piece, each step told as an event of
 * OpenAI's stream. An answer that is not streamed is built the same way, with nobody listening. Knows no engine.
 */
import type { AnswerPiece } from "./answer-pieces.ts";
import { createCallId, createItemId } from "./ids.ts";

export type Emit = (type: string, fields: object) => void;

type Status = "in_progress" | "completed" | "incomplete";

interface Item {
	readonly type: "reasoning" | "message" | "function_call";
	readonly id: string;
	readonly outputIndex: number;
	/** Thought, words or arguments so far. */
	text: string;
	readonly name: string;
	readonly callId: string;
	/** Of a message's tokens, where asked for. */
	readonly logprobs: object[];
}

export class ResponseItems {
	readonly #emit: Emit;
	readonly #items: Item[] = [];
	#open: Item | null = null;

	constructor(emit: Emit) {
		this.#emit = emit;
	}

	push(piece: AnswerPiece, logprobs: readonly object[] = []): void {
		switch (piece.kind) {
			case "reasoning":
				this.#append("reasoning", piece.text, []);
				break;
			case "content":
				this.#append("message", piece.text, logprobs);
				break;
			case "call":
				this.#close("completed");
				this.#begin("function_call", piece.name);
				break;
			case "arguments":
				this.#append("function_call", piece.text, []);
				break;
			default:
				piece satisfies never;
		}
	}

	/** Ends the last item. An answer without any words is one empty message. */
	finish(status: Status): void {
		if (this.#items.length === 0) this.#begin("message");
		this.#close(status);
	}

	/** @param status of the last; those before it are complete */
	output(status: Status): object[] {
		return this.#items.map((item, i) =>
			shown(item, i === this.#items.length - 1 ? status : "completed"),
		);
	}

	#append(type: Item["type"], text: string, logprobs: readonly object[]): void {
		if (this.#open?.type !== type) {
			this.#close("completed");
			this.#begin(type);
		}
		const item = this.#open as Item;
		item.text += text;
		item.logprobs.push(...logprobs);
		const at = place(item);
		if (type === "function_call")
			this.#emit("response.function_call_arguments.delta", {
				...at,
				delta: text,
			});
		else if (type === "reasoning")
			this.#emit("response.reasoning_text.delta", {
				...at,
				content_index: 0,
				delta: text,
			});
		else
			this.#emit("response.output_text.delta", {
				...at,
				content_index: 0,
				delta: text,
				logprobs,
			});
	}

	#begin(type: Item["type"], name = ""): void {
		const prefix = { reasoning: "rs", message: "msg", function_call: "fc" }[
			type
		];
		const outputIndex = this.#items.length;
		const item: Item = {
			type,
			id: createItemId(prefix),
			outputIndex,
			text: "",
			name,
			callId: createCallId(),
			logprobs: [],
		};
		this.#items.push(item);
		this.#open = item;
		this.#emit("response.output_item.added", {
			output_index: outputIndex,
			item: {
				...shown(item, "in_progress"),
				...(type !== "function_call" && { content: [] }),
			},
		});
		if (type !== "function_call")
			this.#emit("response.content_part.added", {
				...place(item),
				content_index: 0,
				part: partOf(item),
			});
	}

	#close(status: Status): void {
		const item = this.#open;
		if (item === null) return;
		this.#open = null;
		const { type, text, name, logprobs } = item;
		const at = { ...place(item), content_index: 0 };
		if (type === "function_call")
			this.#emit("response.function_call_arguments.done", {
				...place(item),
				name,
				arguments: text,
			});
		else {
			if (type === "reasoning")
				this.#emit("response.reasoning_text.done", { ...at, text });
			else this.#emit("response.output_text.done", { ...at, text, logprobs });
			this.#emit("response.content_part.done", { ...at, part: partOf(item) });
		}
		this.#emit("response.output_item.done", {
			output_index: item.outputIndex,
			item: shown(item, status),
		});
	}
}

const place = ({ id, outputIndex }: Item) => ({
	item_id: id,
	output_index: outputIndex,
});

const partOf = ({ type, text, logprobs }: Item) =>
	type === "reasoning"
		? { type: "reasoning_text", text }
		: { type: "output_text", text, annotations: [], logprobs };

function shown(item: Item, status: Status): object {
	const { type, id, text, name, callId } = item;
	switch (type) {
		case "reasoning":
			return {
				type,
				id,
				summary: [],
				content: [partOf(item)],
				status,
			};
		case "message":
			return { type, id, status, role: "assistant", content: [partOf(item)] };
		case "function_call":
			return { type, id, call_id: callId, name, arguments: text, status };
		default:
			return type satisfies never;
	}
}
