/** Chats and plain texts about how an inference engine works. */
import {
	assistant,
	type HeldOut,
	type Message,
	renderChat,
	renderPlain,
	system,
	user,
} from "./document.ts";
import { FACTS, type TopicFact } from "./facts.ts";
import { askFact } from "./paraphrase.ts";
import type { Random } from "./random.ts";

const FOLLOW_UPS: Record<string, readonly string[]> = {
	why: [
		"And why?",
		"Why?",
		"but why",
		"Why is that useful?",
		"Why is it useful?",
		"And what is it good for?",
		"What's the point of it?",
		"Why would I want that?",
		"ok, but why do we need it?",
		"What do I gain from it?",
		"Why does it matter?",
		"And the benefit?",
		"Interesting. Why do engines do that?",
		"What is the advantage?",
	],
	how: [
		"And how?",
		"How?",
		"How does it work?",
		"And how does that work?",
		"how does it work inside",
		"Can you explain how?",
		"How is it done?",
		"What is the mechanism?",
		"ok, and how does it work exactly?",
		"By what means?",
	],
	what: [
		"And what is it?",
		"Wait, what is that?",
		"What is it, actually?",
		"But what does that mean?",
	],
};

const byId = new Map(FACTS.map((fact) => [fact.id, fact]));

const BRIEF_SYSTEMS = [
	"Answer in one sentence.",
	"You are a helpful assistant. Answer in one sentence.",
	"Be brief.",
	"Keep answers short.",
];

const PLAIN_SYSTEMS = [
	"You are a helpful assistant.",
	"You are an expert for inference engines.",
	"You are a friendly teacher.",
	"You help users of an inference engine.",
];

export function factTurn(
	fact: TopicFact,
	brief: boolean,
	random: Random,
): Message[] {
	const question = askFact(fact, random);
	const answer = brief || question.short ? fact.short : fact.answer;
	return [user(question.text), assistant(answer)];
}

/** One question, sometimes followed by "and why?" or by questions about other things. */
export function factTurns(random: Random, brief = false): Message[] {
	const fact = random.pick(FACTS);
	const turns = factTurn(fact, brief, random);
	if (random.chance(0.25)) {
		const topic = fact.id.split("/")[0];
		for (const aspect of random.sample(["why", "how", "what"], 3)) {
			const next = byId.get(`${topic}/${aspect}`);
			if (next === undefined || next === fact) continue;
			if (aspect === "what" && random.chance(0.7)) continue;
			turns.push(user(random.pick(FOLLOW_UPS[aspect])));
			turns.push(assistant(brief ? next.short : next.answer));
			break;
		}
	}
	return turns;
}

export function factDocument(random: Random): string {
	const form = random.next();
	if (form < 0.08) {
		const fact = random.pick(FACTS);
		const { text, short } = askFact(fact, random);
		const answer = short ? fact.short : fact.answer;
		return renderPlain(`Question: ${text}\nAnswer: ${answer}`);
	}
	if (form < 0.11) return renderPlain(random.pick(FACTS).answer);
	const messages: Message[] = [];
	const brief = random.chance(0.06);
	if (brief) messages.push(system(random.pick(BRIEF_SYSTEMS)));
	else if (random.chance(0.15))
		messages.push(system(random.pick(PLAIN_SYSTEMS)));
	const turns = random.weighted([
		[6, 1],
		[2, 2],
		[1, 3],
	] as const);
	for (let i = 0; i < turns; i++) messages.push(...factTurns(random, brief));
	return renderChat(messages);
}

export const heldOutFacts = (): HeldOut[] =>
	FACTS.flatMap((fact) =>
		fact.heldOut.map((question, index) => ({
			kind: "fact" as const,
			id: `${fact.id}#${index + 1}`,
			messages: [user(question)],
			expected: { oneOf: [fact.answer, fact.short] },
		})),
	);
