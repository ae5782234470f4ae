/** What a simulated job came to: one row of figures. */
import type { Scenario } from "./scenario.ts";
import { Simulation } from "./simulation.ts";

export interface Summary {
	readonly workers: number;
	readonly requests: number;
	/** From the first worker's start to the last answer, loading included. */
	readonly makespanSeconds: number;
	/** Of answers, over the makespan. */
	readonly outputTokensPerSecond: number;
	/** Engines at work, as a share of workers × makespan. */
	readonly utilisation: number;
	/** Prompt and output tokens computed for nothing, as a share of all computed. */
	readonly wastedShare: number;
	/** From the moment 99 % are answered to the last answer. */
	readonly tailSeconds: number;
	readonly costPerMillionOutputTokens: number;
	readonly failures: number;
	readonly redeliveries: number;
	readonly hedges: number;
	readonly hedgesWon: number;
	readonly brokerBusyShare: number;
	readonly heartbeatsPerSecond: number;
}

export function simulate(scenario: Scenario): Summary {
	const simulation = new Simulation(scenario);
	const makespanSeconds = simulation.run();
	const { tally } = simulation;
	const { requests, numWorkers, pricePerWorkerHour } = scenario;
	const outputTokens = requests.reduce((sum, r) => sum + r.outputLen, 0);
	const workerSeconds = numWorkers * makespanSeconds;
	const computed = tally.usefulTokens + tally.wastedTokens;
	const almostAll = Math.ceil(0.99 * requests.length) - 1;
	const cost = (workerSeconds / 3600) * pricePerWorkerHour;
	return {
		workers: numWorkers,
		requests: requests.length,
		makespanSeconds,
		outputTokensPerSecond: outputTokens / makespanSeconds,
		utilisation: tally.busySeconds / workerSeconds,
		wastedShare: tally.wastedTokens / computed,
		tailSeconds: makespanSeconds - tally.answerTimes[almostAll],
		costPerMillionOutputTokens: (1e6 * cost) / outputTokens,
		failures: tally.numFailures,
		redeliveries: tally.numRedeliveries,
		hedges: tally.numHedges,
		hedgesWon: tally.numHedgesWon,
		brokerBusyShare: tally.brokerBusySeconds / makespanSeconds,
		heartbeatsPerSecond: tally.numHeartbeats / makespanSeconds,
	};
}

/** Columns of figures, aligned, for people. */
export function table(rows: readonly Summary[]): string {
	const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
	const count = (n: number) => Math.round(n).toLocaleString("en");
	const columns: [string, (row: Summary) => string][] = [
		["workers", (r) => count(r.workers)],
		["makespan s", (r) => r.makespanSeconds.toFixed(1)],
		["tokens/s", (r) => count(r.outputTokensPerSecond)],
		["busy", (r) => percent(r.utilisation)],
		["wasted", (r) => percent(r.wastedShare)],
		["tail s", (r) => r.tailSeconds.toFixed(1)],
		["cost / M tokens", (r) => r.costPerMillionOutputTokens.toFixed(4)],
		["failures", (r) => count(r.failures)],
		["redelivered", (r) => count(r.redeliveries)],
		["hedged (won)", (r) => `${count(r.hedges)} (${count(r.hedgesWon)})`],
		["broker", (r) => percent(r.brokerBusyShare)],
	];
	const cells = [
		columns.map(([head]) => head),
		...rows.map((row) => columns.map(([, cell]) => cell(row))),
	];
	const widths = columns.map((_, c) =>
		Math.max(...cells.map((row) => row[c].length)),
	);
	return cells
		.map((row) => row.map((cell, c) => cell.padStart(widths[c])).join("  "))
		.join("\n");
}
