/** What `npm start` asks the bundled model: a bit of everything it was trained on, texts to continue beside questions. */
import type { Task } from "./prompts.ts";

const ask = (content: string): Task => ({
	kind: "chat",
	messages: [{ role: "user", content }],
});
const go = (prompt: string): Task => ({ kind: "continue", prompt });

export const DEMO_TASKS: readonly Task[] = [
	go("Once upon a time there was a clockmaker named Hedda."),
	ask("What is a KV cache?"),
	ask("What does the scheduler do when the cache is full?"),
	ask("What is 27 + 45?"),
	ask("Name five vegetables please."),
	ask("Extract the data as JSON: Pavel is 23 years old and lives in Lusaka."),
	ask("Tell me a tale about a baby elephant named Wendel."),
	go("In a quiet valley there lived a careful robot called Xanthe."),
];
