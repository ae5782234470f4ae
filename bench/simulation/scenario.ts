/** What is simulated: a job, the workers, the broker's protocol, and what goes wrong. One table of defaults. */
import type { EngineProfile } from "./step-time.ts";

export interface Lengths {
	readonly promptLen: number;
	readonly outputLen: number;
}

export interface Scenario {
	readonly seed: number;
	readonly requests: readonly Lengths[];
	readonly numWorkers: number;
	readonly profile: EngineProfile;
	/** Requests a worker asks for, as a share of maxNumSeqs: what runs, and what waits so that no step goes without. */
	readonly credit: number;
	/** The broker's time for one request, from its queue to its ack; one after the other. */
	readonly dispatchSeconds: number;
	/** One way. */
	readonly latencySeconds: number;
	/** A request not heard of for this long goes to another worker. */
	readonly ackWaitSeconds: number;
	/** Between two signs of life of a request; null: none are given. */
	readonly heartbeatSeconds: number | null;
	/** Mean time between failures of one worker; Infinity: none fails. */
	readonly mtbfSeconds: number;
	/** From a worker's death to the start of its successor, which then loads the model. */
	readonly restartSeconds: number;
	/** Workers begin to load at times spread evenly over this. */
	readonly startSpreadSeconds: number;
	/** Share of the workers that are `slowFactor` times slower. */
	readonly slowShare: number;
	readonly slowFactor: number;
	/**
	 * Nothing left to hand out: what is out for longer than this many times the median of the last answers goes to a second worker, once;
	 * null: never.
	 */
	readonly hedgeFactor: number | null;
	readonly pricePerWorkerHour: number;
}

export const DEFAULTS: Omit<Scenario, "requests" | "numWorkers" | "profile"> = {
	seed: 0,
	credit: 1.25,
	dispatchSeconds: 0.0003,
	latencySeconds: 0.0005,
	ackWaitSeconds: 30,
	heartbeatSeconds: 10,
	mtbfSeconds: Infinity,
	restartSeconds: 20,
	startSpreadSeconds: 0,
	slowShare: 0,
	slowFactor: 4,
	hedgeFactor: 2,
	pricePerWorkerHour: 2,
};
