/** Who may come in, and until when: the queue's bound, the timeout of a request, the client's leaving, the server's end. Knows no bodies. */
import { type ApiError, clientGone, unavailable } from "./api-error.ts";
import type { ServedEngine } from "./engine.ts";

export interface Ticket {
	/** Aborted with an ApiError: the client left, time is up, or the server ends. */
	readonly signal: AbortSignal;
	abort(reason: ApiError): void;
	/** Call it once, when the request has ended; no timer or listener is left. */
	release(): void;
}

export interface AdmissionOptions {
	readonly maxQueue: number | null;
	/** Seconds. */
	readonly requestTimeout: number | null;
	readonly onRejected: (reason: string) => void;
}

export class Admission {
	readonly #engine: ServedEngine;
	readonly #options: AdmissionOptions;
	readonly #tickets = new Set<Ticket>();
	#isDraining = false;
	#onEmpty: (() => void) | null = null;

	constructor(engine: ServedEngine, options: AdmissionOptions) {
		this.#engine = engine;
		this.#options = options;
	}

	/** Requests being answered. */
	get load(): number {
		return this.#tickets.size;
	}

	get isDraining(): boolean {
		return this.#isDraining;
	}

	/** @throws ApiError 503 where the queue is full, the server ends, or the engine cannot go on */
	enter(client: AbortSignal): Ticket {
		this.#check();
		const controller = new AbortController();
		const abort = (reason: ApiError) => controller.abort(reason);
		const leave = () => abort(clientGone());
		client.addEventListener("abort", leave, { once: true });
		if (client.aborted) leave();
		const { requestTimeout } = this.#options;
		const timer =
			requestTimeout === null
				? undefined
				: setTimeout(
						() => abort(timedOut(requestTimeout)),
						requestTimeout * 1000,
					);
		const ticket: Ticket = {
			signal: controller.signal,
			abort,
			release: () => {
				clearTimeout(timer);
				client.removeEventListener("abort", leave);
				this.#tickets.delete(ticket);
				if (this.#tickets.size === 0) this.#onEmpty?.();
			},
		};
		this.#tickets.add(ticket);
		return ticket;
	}

	#check(): void {
		if (this.#isDraining) {
			this.#options.onRejected("draining");
			throw unavailable("this server is shutting down.", "shutting_down");
		}
		const { failure } = this.#engine;
		if (failure !== null) throw unavailable(failure.message, failure.code);
		const { maxQueue } = this.#options;
		if (maxQueue === null) return;
		const { numRequestsRunning, numRequestsWaiting } = this.#engine.stats();
		const room = this.#engine.engineConfig.maxNumSeqs + maxQueue;
		if (numRequestsRunning + numRequestsWaiting < room) return;
		this.#options.onRejected("queue_full");
		throw unavailable(
			`${numRequestsWaiting} requests are waiting already, as many as this server lets wait.`,
			"queue_full",
		);
	}

	/** Takes nothing new and lets what runs end; what has not after `graceMs` is cut. */
	async drain(graceMs: number): Promise<void> {
		this.#isDraining = true;
		if (this.#tickets.size === 0) return;
		const empty = new Promise<void>((resolve) => {
			this.#onEmpty = resolve;
		});
		const cut = () => {
			const reason = unavailable(
				"this server is shutting down.",
				"shutting_down",
			);
			for (const ticket of [...this.#tickets]) ticket.abort(reason);
		};
		const timer = setTimeout(cut, graceMs);
		await empty;
		clearTimeout(timer);
	}
}

const timedOut = (seconds: number) =>
	unavailable(`not done within ${seconds} s.`, "request_timeout");
