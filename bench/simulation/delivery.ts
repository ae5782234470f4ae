/** Requests of a job, and the copies of them that workers get. */

/** One line of the job. */
export interface JobRequest {
	readonly promptLen: number;
	readonly outputLen: number;
	numDeliveries: number;
	/** Copies at work, or on their way. */
	numLive: number;
	isAnswered: boolean;
	isHedged: boolean;
	/** When the collector let it out. */
	publishedAt: number;
	/** Who got it last. */
	holder: number | null;
}

export type DeliveryStatus =
	| { readonly kind: "sent" }
	| { readonly kind: "waiting" }
	| { readonly kind: "prefill"; numComputed: number }
	/** Since the end of step `since`, which sampled its first token. */
	| { readonly kind: "decode"; readonly since: number }
	/** Computed, dropped because another was faster, or lost with its worker. */
	| { readonly kind: "ended"; readonly numComputed: number };

/** A request in the hands of one worker, or on the way there. */
export interface Delivery {
	readonly request: JobRequest;
	readonly worker: number;
	readonly deliveredAt: number;
	status: DeliveryStatus;
}
