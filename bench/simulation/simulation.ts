/**
 * A batch job over a broker and its workers, as a discrete-event simulation: only the moments are visited at which something changes.
 * The protocol is that of docs/batch.md: a queue with explicit acks, credit, signs of life, redelivery, and hedges at the tail.
 * Its law is run at the end (tally.ts).
 */
import assert from "node:assert/strict";
import { Broker } from "./broker.ts";
import { Collector } from "./collector.ts";
import type { Delivery, JobRequest } from "./delivery.ts";
import type { Event } from "./event.ts";
import { EventQueue } from "./event-queue.ts";
import { createRandom, type Random } from "./random.ts";
import type { Scenario } from "./scenario.ts";
import { stepSeconds } from "./step-time.ts";
import { checkTally, createTally } from "./tally.ts";
import { Worker } from "./worker.ts";

/** Between two looks for requests to hedge. */
const TAIL_LOOK_SECONDS = 0.5;
/** Where workers die faster than they answer, a job has no end. */
const MOST_SECONDS = 30 * 24 * 3600;

interface Seat {
	worker: Worker;
	life: number;
	isUp: boolean;
	/** Seconds of the step in flight; null: idle. */
	stepSeconds: number | null;
	/** Asked for, or on the way. */
	numExpected: number;
}

export class Simulation {
	readonly #scenario: Scenario;
	readonly #requests: JobRequest[];
	readonly #broker: Broker;
	readonly #seats: Seat[];
	readonly #events = new EventQueue<Event>();
	readonly #random: Random;
	readonly #credit: number;
	readonly #collector: Collector;
	readonly #copies = new Map<JobRequest, Delivery[]>();
	#now = 0;
	#dispatching = false;
	readonly tally = createTally();

	constructor(scenario: Scenario) {
		const { numWorkers, profile, requests, seed } = scenario;
		this.#scenario = scenario;
		this.#random = createRandom(seed);
		this.#credit = Math.ceil(scenario.credit * profile.maxNumSeqs);
		this.#requests = requests.map((lengths) => ({
			...lengths,
			numDeliveries: 0,
			numLive: 0,
			isAnswered: false,
			isHedged: false,
			publishedAt: 0,
			holder: null,
		}));
		this.#broker = new Broker(numWorkers);
		const credit = numWorkers * this.#credit;
		this.#collector = new Collector(this.#requests, credit);
		const ofStep = stepSeconds(profile);
		const numSlow = Math.round(scenario.slowShare * numWorkers);
		this.#seats = Array.from({ length: numWorkers }, (_, i) => ({
			worker: new Worker({
				maxNumSeqs: profile.maxNumSeqs,
				maxNumBatchedTokens: profile.maxNumBatchedTokens,
				slowness: i < numSlow ? scenario.slowFactor : 1,
				stepSeconds: ofStep,
			}),
			life: 0,
			isUp: false,
			stepSeconds: null,
			numExpected: 0,
		}));
		const spread = scenario.startSpreadSeconds / numWorkers;
		for (let worker = 0; worker < numWorkers; worker++)
			this.#after(worker * spread + profile.loadSeconds, {
				kind: "ready",
				worker,
			});
		this.#letOut();
		if (scenario.hedgeFactor !== null)
			this.#after(TAIL_LOOK_SECONDS, { kind: "lookForTail" });
	}

	/** Runs until every request is answered. @returns the moment of the last answer, in seconds */
	run(): number {
		const { answerTimes } = this.tally;
		while (answerTimes.length < this.#requests.length) {
			const next = this.#events.next();
			assert(next !== undefined, "something happens until all is answered");
			assert(next.time >= this.#now, "time goes forward");
			if (next.time > MOST_SECONDS)
				throw new Error(
					`the job has not ended in 30 days of simulated time: ${answerTimes.length} of ${this.#requests.length} requests are answered. Give workers more time between failures, or a longer wait for acknowledgements.`,
				);
			this.#now = next.time;
			this.#handle(next.event);
		}
		for (const { worker } of this.#seats)
			for (const delivery of [...worker.held]) this.#waste(worker, delivery);
		checkTally(this.tally, this.#requests);
		return this.#now;
	}

	#after(seconds: number, event: Event): void {
		this.#events.add(this.#now + seconds, event);
	}

	#handle(event: Event): void {
		switch (event.kind) {
			case "ready":
				this.#start(event.worker);
				break;
			case "death":
				this.#die(event.worker);
				break;
			case "ask":
				this.#hear(event.worker, event.life, event.count);
				break;
			case "dispatched":
				this.#dispatching = false;
				this.#dispatch();
				break;
			case "arrival":
				this.#arrive(event.delivery);
				break;
			case "stepEnd":
				this.#endStep(event.worker, event.life);
				break;
			case "answer":
				this.#answer(event.delivery);
				break;
			case "ackWaitOver":
				this.#redeliver(event.delivery);
				break;
			case "drop":
				this.#drop(event.delivery);
				break;
			case "lookForTail":
				this.#lookForTail();
				break;
			default:
				event satisfies never;
		}
	}

	#letOut(): void {
		for (const request of this.#collector.letOut(this.#now))
			this.#broker.add(request);
	}

	#start(worker: number): void {
		const seat = this.#seats[worker];
		seat.isUp = true;
		seat.life++;
		if (this.#scenario.mtbfSeconds < Infinity)
			this.#after(this.#random.exponential(this.#scenario.mtbfSeconds), {
				kind: "death",
				worker,
			});
		this.#ask(worker);
	}

	#ask(worker: number): void {
		const seat = this.#seats[worker];
		const count = this.#credit - seat.worker.held.size - seat.numExpected;
		if (count <= 0) return;
		seat.numExpected += count;
		const { life } = seat;
		this.#after(this.#scenario.latencySeconds, {
			kind: "ask",
			worker,
			life,
			count,
		});
	}

	#hear(worker: number, life: number, count: number): void {
		if (this.#seats[worker].life !== life) return;
		this.#broker.ask(worker, count);
		this.#dispatch();
	}

	/** The broker hands out one request at a time. */
	#dispatch(): void {
		if (this.#dispatching) return;
		const match = this.#broker.match();
		if (match === null) return;
		const { request, worker } = match;
		const { dispatchSeconds, latencySeconds } = this.#scenario;
		const deliveredAt = this.#now + dispatchSeconds;
		const delivery: Delivery = {
			request,
			worker,
			deliveredAt,
			status: { kind: "sent" },
		};
		if (request.isHedged && request.numLive > 0) this.tally.numHedges++;
		request.numDeliveries++;
		request.numLive++;
		request.holder = worker;
		this.tally.numDeliveries++;
		this.tally.brokerBusySeconds += dispatchSeconds;
		const copies = this.#copies.get(request);
		if (copies === undefined) this.#copies.set(request, [delivery]);
		else copies.push(delivery);
		if (!this.#keepsAlive) this.#expect(delivery);
		this.#dispatching = true;
		this.#after(dispatchSeconds, { kind: "dispatched" });
		this.#after(dispatchSeconds + latencySeconds, {
			kind: "arrival",
			delivery,
		});
	}

	/** Signs of life come soon enough that a living worker's requests are never handed out again. */
	get #keepsAlive(): boolean {
		const { heartbeatSeconds, ackWaitSeconds } = this.#scenario;
		return heartbeatSeconds !== null && heartbeatSeconds < ackWaitSeconds;
	}

	/** The broker waits for an ack, or a sign of life, from the last one on. */
	#expect(delivery: Delivery): void {
		const { ackWaitSeconds, heartbeatSeconds } = this.#scenario;
		const age = Math.max(0, this.#now - delivery.deliveredAt);
		const beat = heartbeatSeconds ?? Infinity;
		const lastSign = this.#keepsAlive ? Math.floor(age / beat) * beat : 0;
		const until = delivery.deliveredAt + lastSign + ackWaitSeconds;
		this.#after(Math.max(0, until - this.#now), {
			kind: "ackWaitOver",
			delivery,
		});
	}

	#arrive(delivery: Delivery): void {
		const seat = this.#seats[delivery.worker];
		if (!seat.isUp) {
			if (this.#keepsAlive) this.#expect(delivery);
			return;
		}
		seat.numExpected = Math.max(0, seat.numExpected - 1);
		if (delivery.request.isAnswered) {
			this.#ask(delivery.worker);
			return;
		}
		seat.worker.receive(delivery);
		this.#beginStep(delivery.worker);
	}

	#beginStep(worker: number): void {
		const seat = this.#seats[worker];
		if (seat.stepSeconds !== null) return;
		seat.stepSeconds = seat.worker.beginStep();
		if (seat.stepSeconds === null) return;
		const { life } = seat;
		this.#after(seat.stepSeconds, { kind: "stepEnd", worker, life });
	}

	#endStep(worker: number, life: number): void {
		const seat = this.#seats[worker];
		if (seat.life !== life || seat.stepSeconds === null) return;
		this.tally.busySeconds += seat.stepSeconds;
		seat.stepSeconds = null;
		const done = seat.worker.endStep();
		for (const delivery of done) {
			this.#countBeats(delivery);
			this.#after(this.#scenario.latencySeconds, { kind: "answer", delivery });
		}
		if (done.length > 0) this.#ask(worker);
		this.#beginStep(worker);
	}

	#answer(delivery: Delivery): void {
		const { request } = delivery;
		request.numLive--;
		if (request.isAnswered) {
			this.tally.wastedTokens += computedTokens(delivery);
			return;
		}
		request.isAnswered = true;
		this.tally.usefulTokens += computedTokens(delivery);
		this.tally.answerTimes.push(this.#now);
		this.#collector.onAnswer(this.#now - delivery.deliveredAt);
		this.#letOut();
		this.#dispatch();
		const copies = this.#copies.get(request) ?? [];
		this.#copies.delete(request);
		if (request.isHedged && delivery !== copies[0]) this.tally.numHedgesWon++;
		for (const copy of copies)
			if (copy !== delivery)
				this.#after(this.#scenario.latencySeconds, {
					kind: "drop",
					delivery: copy,
				});
	}

	/** Another was faster. */
	#drop(delivery: Delivery): void {
		const { worker } = this.#seats[delivery.worker];
		if (!worker.held.has(delivery)) return;
		this.#waste(worker, delivery);
		this.#ask(delivery.worker);
	}

	#waste(worker: Worker, delivery: Delivery): void {
		worker.drop(delivery);
		delivery.request.numLive--;
		this.#countBeats(delivery);
		this.tally.wastedTokens += computedTokens(delivery);
	}

	#countBeats({ deliveredAt }: Delivery): void {
		const { heartbeatSeconds } = this.#scenario;
		if (heartbeatSeconds === null) return;
		const age = Math.max(0, this.#now - deliveredAt);
		this.tally.numHeartbeats += Math.floor(age / heartbeatSeconds);
	}

	#die(worker: number): void {
		const seat = this.#seats[worker];
		const { restartSeconds, profile } = this.#scenario;
		this.tally.numFailures++;
		for (const delivery of seat.worker.die()) {
			this.tally.wastedTokens += computedTokens(delivery);
			if (this.#keepsAlive) this.#expect(delivery);
		}
		seat.isUp = false;
		seat.life++;
		seat.stepSeconds = null;
		seat.numExpected = 0;
		this.#broker.forget(worker);
		this.#after(restartSeconds + profile.loadSeconds, {
			kind: "ready",
			worker,
		});
	}

	#redeliver(delivery: Delivery): void {
		const { request } = delivery;
		if (request.isAnswered) return;
		const isLost = !this.#seats[delivery.worker].worker.held.has(delivery);
		if (isLost) request.numLive--;
		this.tally.numRedeliveries++;
		this.#broker.putBack(request);
		this.#dispatch();
	}

	/** When nothing is left to hand out, those that have been out longest go to whoever has room. */
	#lookForTail(): void {
		const { hedgeFactor } = this.#scenario;
		this.#after(TAIL_LOOK_SECONDS, { kind: "lookForTail" });
		if (hedgeFactor === null || this.#seats.length < 2) return;
		if (!this.#broker.isDry) return;
		const late = this.#collector.late(this.#now, hedgeFactor, this.#numIdle);
		for (const request of late) {
			request.isHedged = true;
			this.#broker.putBack(request);
		}
		this.#dispatch();
	}

	/** What workers would hold beyond what they hold. */
	get #numIdle(): number {
		let sum = 0;
		for (const { isUp, worker } of this.#seats)
			if (isUp) sum += Math.max(0, this.#credit - worker.held.size);
		return sum;
	}
}

function computedTokens({ status }: Delivery): number {
	return status.kind === "ended" ? status.numComputed : 0;
}
