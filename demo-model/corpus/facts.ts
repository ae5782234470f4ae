/** All facts of the question-and-answer data, flat, with the topics they belong to. */
import { normalize } from "./document.ts";
import { architectureTopics } from "./facts/architecture.ts";
import { cacheTopics } from "./facts/cache.ts";
import { DEVICE_CASES } from "./facts/cases-device.ts";
import { ENGINE_CASES } from "./facts/cases-engine.ts";
import { MODEL_CASES } from "./facts/cases-model.ts";
import { MORE_CASES } from "./facts/cases-more.ts";
import { hardwareTopics } from "./facts/hardware.ts";
import { HELD_OUT_PHRASINGS } from "./facts/held-out.ts";
import { numberTopics } from "./facts/numbers.ts";
import { DEVICE_PHRASINGS } from "./facts/phrasings-device.ts";
import { ENGINE_PHRASINGS } from "./facts/phrasings-engine.ts";
import { MODEL_PHRASINGS } from "./facts/phrasings-model.ts";
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
	/** Questions never trained on, in other words than `ask`. */
	heldOut: string[];
	/** topic/aspect */
	id: string;
	aspect: string;
	names: readonly string[];
	/** True if this is the topic's only fact, so that "why" and "how" also lead here. */
	alone: boolean;
	/** The first sentence. */
	short: string;
}

/** Reads lines of the form `fact id: question | question`. */
function readPhrasings(...texts: string[]): Map<string, string[]> {
	const map = new Map<string, string[]>();
	for (const line of texts.flatMap((text) => text.trim().split("\n"))) {
		const [id] = line.split(": ", 1);
		const questions = line.slice(id.length + 2).split(" | ");
		map.set(id, [...(map.get(id) ?? []), ...questions]);
	}
	return map;
}

const phrasings = readPhrasings(
	ENGINE_PHRASINGS,
	MODEL_PHRASINGS,
	DEVICE_PHRASINGS,
	ENGINE_CASES,
	MODEL_CASES,
	DEVICE_CASES,
	MORE_CASES,
);
const heldOut = readPhrasings(HELD_OUT_PHRASINGS);

const firstSentence = (text: string): string =>
	/^.*?[.!?](?= [A-Z])/.exec(text)?.[0] ?? text;

export const FACTS: readonly TopicFact[] = Object.entries(TOPICS).flatMap(
	([topicId, topic]) => {
		const entries = Object.entries(topic.facts);
		return entries.map(([aspect, fact]) => ({
			...fact,
			ask: [...fact.ask, ...(phrasings.get(`${topicId}/${aspect}`) ?? [])],
			heldOut: heldOut.get(`${topicId}/${aspect}`) ?? [],
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
