/** A conversation as a JSON file, with the probabilities of its tokens. */
import type { Conversation } from "./conversation.ts";
import { tokensOf } from "./conversations.ts";

const FORMAT = "nano-vllm conversation";

export async function exportConversation(
	conversation: Conversation,
): Promise<void> {
	const turns = await Promise.all(
		conversation.turns.map(async (turn) =>
			turn.kind === "user" ? turn : { ...turn, tokens: await tokensOf(turn) },
		),
	);
	const content = { format: FORMAT, version: 1, ...conversation, turns };
	download(
		`${fileName(conversation.title)}.json`,
		new Blob([JSON.stringify(content, null, "\t")], {
			type: "application/json",
		}),
	);
}

function fileName(title: string): string {
	const plain = title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
	return plain.toLowerCase() || "conversation";
}

function download(name: string, content: Blob): void {
	const link = document.createElement("a");
	link.href = URL.createObjectURL(content);
	link.download = name;
	link.click();
	// The browser has taken hold of it by then.
	setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
