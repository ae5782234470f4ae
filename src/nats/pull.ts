/**
 * Takes work from a job's stream: as many messages as there is room for, at once or when the first comes. The client's own consumers
 * always wait; a worker that serves several jobs has to know at once that one of them has nothing.
 */
import {
	createInbox,
	type Msg,
	type NatsConnection,
	type Subscription,
} from "@nats-io/nats-core";
import { isHedge, lineOf, WORKERS, workStream } from "./protocol.ts";

/** A request as it was delivered: this delivery is to be acknowledged, or another worker gets it. */
export interface Delivery {
	readonly message: Msg;
	readonly line: number;
	readonly isHedge: boolean;
	/** Of the message in its stream: the same at each delivery, another for each copy. */
	readonly id: string;
	readonly numDeliveries: number;
	ack(): void;
	/** Not me; somebody else after so many milliseconds. */
	giveBack(ms?: number): void;
	/** Still at it. */
	working(): void;
}

interface Pull {
	readonly name: string;
	readonly end: () => void;
	numLeft: number;
}

/** Beyond the time the server has, until it is taken for gone. */
const PATIENCE_MS = 2000;

/** Of one job, one pull at a time. */
export class Puller {
	readonly #nc: NatsConnection;
	readonly #job: string;
	readonly #onDelivery: (delivery: Delivery) => void;
	readonly #inbox = createInbox();
	readonly #subscription: Subscription;
	#pull: Pull | null = null;
	#numPulls = 0;
	#closing: Promise<void> | null = null;

	/** @param onDelivery sees every message, those that come when their pull was given up too */
	constructor(
		nc: NatsConnection,
		job: string,
		onDelivery: (delivery: Delivery) => void,
	) {
		this.#nc = nc;
		this.#job = job;
		this.#onDelivery = onDelivery;
		this.#subscription = nc.subscribe(`${this.#inbox}.*`, {
			callback: (error, message) => {
				if (error === null) this.#receive(message);
			},
		});
	}

	get isPulling(): boolean {
		return this.#pull !== null;
	}

	/** Messages asked for that may still come. */
	get numAsked(): number {
		return this.#pull?.numLeft ?? 0;
	}

	/**
	 * At most `batch` messages, what there is at once (waitMs 0) or whatever comes in the time.
	 * @returns how many came, once no more will; the server may be away, too
	 */
	pull(batch: number, waitMs: number): Promise<number> {
		return new Promise((resolve) => {
			const name = `${++this.#numPulls}`;
			const end = () => {
				clearTimeout(timer);
				this.#pull = null;
				resolve(batch - pull.numLeft);
			};
			const pull: Pull = { name, end, numLeft: batch };
			const timer = setTimeout(end, waitMs + PATIENCE_MS);
			this.#pull = pull;
			const wait = waitMs === 0 ? { no_wait: true } : { expires: waitMs * 1e6 };
			this.#nc.publish(
				`$JS.API.CONSUMER.MSG.NEXT.${workStream(this.#job)}.${WORKERS}`,
				JSON.stringify({ batch, ...wait }),
				{ reply: `${this.#inbox}.${name}` },
			);
		});
	}

	/** What is on its way still comes. */
	async close(): Promise<void> {
		this.#closing ??= this.#drain();
		await this.#closing;
		this.#pull?.end();
	}

	async #drain(): Promise<void> {
		// A connection that is closed has nothing on its way.
		if (!this.#nc.isClosed()) await this.#subscription.drain().catch(() => {});
	}

	/** Messages bear their stream's subject; what the server says of a pull bears the inbox's. */
	#receive(message: Msg): void {
		const { subject } = message;
		const pull = this.#pull;
		if (subject.startsWith(this.#inbox)) {
			const isCurrent = pull?.name === subject.slice(this.#inbox.length + 1);
			if (isCurrent) pull?.end();
			return;
		}
		this.#onDelivery(deliveryOf(this.#nc, message));
		if (pull !== null && --pull.numLeft === 0) pull.end();
	}
}

/** $JS.ACK.[DOMAIN.ACCOUNT.]STREAM.CONSUMER.DELIVERIES.STREAM-SEQ.CONSUMER-SEQ.TIME.PENDING[.TOKEN], the brackets in later servers alone. */
function deliveryOf(nc: NatsConnection, message: Msg): Delivery {
	const tokens = (message.reply ?? "").split(".");
	const at = tokens.length > 9 ? 6 : 4;
	const say = (text: string): void => {
		if (!nc.isClosed()) message.respond(text);
	};
	return {
		message,
		line: lineOf(message.subject),
		isHedge: isHedge(message.subject),
		numDeliveries: Number(tokens[at]),
		id: `${tokens[at + 1]}-${tokens[at + 3]}`,
		ack: () => say("+ACK"),
		giveBack: (ms = 0) => say(ms > 0 ? `-NAK {"delay": ${ms * 1e6}}` : "-NAK"),
		working: () => say("+WPI"),
	};
}
