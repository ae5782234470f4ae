/** What a simulated job added up to, and the law it must obey. */
import assert from "node:assert/strict";
import type { JobRequest } from "./delivery.ts";

export interface Tally {
	answerTimes: number[];
	numDeliveries: number;
	numRedeliveries: number;
	numHedges: number;
	numHedgesWon: number;
	numFailures: number;
	/** Prompt and output tokens computed, by what became of them. */
	usefulTokens: number;
	wastedTokens: number;
	/** Summed over workers, as far as steps ended. */
	busySeconds: number;
	brokerBusySeconds: number;
	numHeartbeats: number;
}

export function createTally(): Tally {
	return {
		answerTimes: [],
		numDeliveries: 0,
		numRedeliveries: 0,
		numHedges: 0,
		numHedgesWon: 0,
		numFailures: 0,
		usefulTokens: 0,
		wastedTokens: 0,
		busySeconds: 0,
		brokerBusySeconds: 0,
		numHeartbeats: 0,
	};
}

/** The law: every request is answered once, and the tokens of the answers are those asked for. @throws where it is broken */
export function checkTally(
	{ answerTimes, usefulTokens }: Tally,
	requests: readonly JobRequest[],
): void {
	assert(
		requests.every(({ isAnswered }) => isAnswered),
		"every request is answered",
	);
	assert.equal(answerTimes.length, requests.length, "and once");
	const asked = requests.reduce(
		(sum, { promptLen, outputLen }) => sum + promptLen + outputLen,
		0,
	);
	assert.equal(usefulTokens, asked, "useful tokens are those asked for");
}
