/** What pictures show, in words: for who listens instead of looking, and for who wants it exactly. */
import type { InspectedStep } from "../../../src/inspector/state.ts";
import { count, plural } from "./numbers.ts";
import { nameOf } from "./sequence-style.ts";

export function describeStep(step: InspectedStep, budget: number): string {
	const rows = step.rows.toEvents();
	const chunks = rows.filter(({ phase }) => phase === "prefill");
	const numDecodes = rows.length - chunks.length;
	const parts = [
		`Step ${count(step.step)}: ${count(step.numTokens)} of ${count(budget)} tokens`,
		plural(numDecodes, "decode"),
		chunks.length === 0
			? "no prefill"
			: `prefill of ${listed(chunks.map((row) => `${nameOf(row.arrival)} (${plural(row.numTokens, "token")} from ${count(row.start)})`))}`,
	];
	const hits = step.admitted.filter((it) => it.numCachedTokens > 0);
	if (hits.length > 0)
		parts.push(
			`prefix found for ${listed(hits.map((it) => `${nameOf(it.arrival)} (${plural(it.numCachedTokens, "token")})`))}`,
		);
	if (step.preempted.length > 0)
		parts.push(`preempted ${listed(step.preempted.map(nameOf))}`);
	if (step.evicted.length > 0)
		parts.push(`${plural(step.evicted.length, "cached block")} evicted`);
	return `${parts.join("; ")}.`;
}

export interface BlockFacts {
	readonly block: number;
	/** Sequences that hold it. */
	readonly holders: readonly number[];
	readonly numReferences: number;
	readonly isCached: boolean;
	readonly numTokens: number;
}

export function describeBlock({
	block,
	holders,
	numReferences,
	isCached,
	numTokens,
}: BlockFacts): string {
	if (numReferences === 0)
		return isCached
			? `Block ${block}: free, still holds a cached prefix of ${plural(numTokens, "token")}.`
			: `Block ${block}: free and empty.`;
	const held = `held by ${listed(holders.map(nameOf))}`;
	const cached = isCached ? "; a later prompt can find it" : "";
	return `Block ${block}: ${held}; ${plural(numTokens, "token")}${cached}.`;
}

/** At most six, then how many more. */
export function listed(names: readonly string[]): string {
	const shown = names.slice(0, 6).join(", ");
	return names.length > 6
		? `${shown} and ${count(names.length - 6)} more`
		: shown;
}

export interface SequenceFacts {
	readonly arrival: number;
	readonly status: "waiting" | "running" | "ended" | "unknown";
	readonly numPromptTokens: number;
	readonly numOutputTokens: number;
	/** Output tokens at most. */
	readonly maxTokens: number;
	readonly numCachedTokens: number;
	readonly numBlocks: number;
}

export function describeSequence(facts: SequenceFacts): string {
	const { arrival, status, numOutputTokens, maxTokens } = facts;
	const name = `Sequence ${nameOf(arrival)}`;
	const prompt = `prompt of ${plural(facts.numPromptTokens, "token")}`;
	const cached =
		facts.numCachedTokens > 0
			? `, ${count(facts.numCachedTokens)} of them found in the prefix cache`
			: "";
	const output = `${count(numOutputTokens)} of at most ${plural(maxTokens, "output token")}`;
	switch (status) {
		case "running":
			return `${name} runs: ${prompt}${cached}; ${output}; ${plural(facts.numBlocks, "block")}.`;
		case "waiting":
			return `${name} waits: ${prompt}; ${output}.`;
		case "ended":
			return `${name} has ended: ${prompt}, ${plural(numOutputTokens, "output token")}.`;
		case "unknown":
			return `${name} is not there at this moment.`;
		default:
			return status satisfies never;
	}
}
