/** All facts of the question-and-answer data, flat, with the topics they belong to. */
import { normalize } from "./document.ts";
import { architectureTopics } from "./facts/architecture.ts";
import { cacheTopics } from "./facts/cache.ts";
import { hardwareTopics } from "./facts/hardware.ts";
import { numberTopics } from "./facts/numbers.ts";
import { samplingTopics } from "./facts/sampling.ts";
import { schedulingTopics } from "./facts/scheduling.ts";
import { servingTopics } from "./facts/serving.ts";
import { textTopics } from "./facts/text.ts";
import type { Fact, Topic } from "./facts/topic.ts";

export const TOPICS: Readonly<Record<string, Topic>> = {
	...cacheTopics,
	...schedulingTopics,
	...samplingTopics,
	...architectureTopics,
	...textTopics,
	...numberTopics,
	...hardwareTopics,
	...servingTopics,
};

export interface TopicFact extends Fact {
	/** topic/aspect */
	id: string;
	aspect: string;
	names: readonly string[];
	/** True if this is the topic's only fact, so that "why" and "how" also lead here. */
	alone: boolean;
	/** The first sentence. */
	short: string;
}

const firstSentence = (text: string): string =>
	/^.*?[.!?](?= [A-Z])/.exec(text)?.[0] ?? text;

export const FACTS: readonly TopicFact[] = Object.entries(TOPICS).flatMap(
	([topicId, topic]) => {
		const entries = Object.entries(topic.facts);
		return entries.map(([aspect, fact]) => ({
			...fact,
			id: `${topicId}/${aspect}`,
			aspect,
			names: topic.names,
			alone: entries.length === 1,
			short: firstSentence(fact.answer),
		}));
	},
);

/** Each held-out question in normal form. */
export const HELD_OUT_QUESTIONS: readonly string[] = FACTS.flatMap((fact) =>
	fact.heldOut.map(normalize),
);
