/** The shape of the question-and-answer data. A topic is a thing with names; each fact says one thing about it. */

export interface Fact {
	/** Full sentences. The first one alone is the short answer. */
	answer: string;
	/** Hand-written questions; the paraphraser makes thousands of each. */
	ask: string[];
	/** Noun phrases for this fact alone, used like a topic's names in "What is ...?" frames. */
	subjects?: string[];
}

/** Aspects named what, why and how also get question frames around the topic's names. */
export interface Topic {
	names: string[];
	facts: Record<string, Fact>;
}
