/** Texts of any length as messages of a job: one that is too long for a message lies in the object store, and the message says where. */
import type { JetStreamClient } from "@nats-io/jetstream";
import { headers, type Msg, type NatsConnection } from "@nats-io/nats-core";
import { type ObjectStore, Objm } from "@nats-io/obj";
import { NanoVllmError } from "../errors.ts";
import { bodiesBucket, OBJECT_HEADER } from "./protocol.ts";

/** Of the server's largest message, for subject and headers. */
const HEADER_BYTES = 8 * 1024;
const DEFAULT_MAX_PAYLOAD = 2 ** 20;

export interface Letter {
	readonly subject: string;
	readonly text: string;
	/** Sent twice with the same one, it is kept once. */
	readonly id: string;
	readonly headers: Readonly<Record<string, string>>;
	/** What its object is called, should it need one. */
	readonly objectName: string;
}

export interface Sent {
	/** In the stream. */
	readonly seq: number;
	readonly hasObject: boolean;
}

export class Bodies {
	readonly #nc: NatsConnection;
	readonly #js: JetStreamClient;
	readonly #bucket: string;
	#store: Promise<ObjectStore> | null = null;

	constructor(nc: NatsConnection, js: JetStreamClient, job: string) {
		this.#nc = nc;
		this.#js = js;
		this.#bucket = bodiesBucket(job);
	}

	/** Resolves once the broker has stored it. */
	async send(letter: Letter): Promise<Sent> {
		const { objectName, subject, text, id } = letter;
		const hdrs = headers();
		for (const [name, value] of Object.entries(letter.headers))
			hdrs.set(name, value);
		let bytes = new TextEncoder().encode(text);
		const most = this.#nc.info?.max_payload ?? DEFAULT_MAX_PAYLOAD;
		const isLong = bytes.length > most - HEADER_BYTES;
		if (isLong) {
			await (await this.#open()).putBlob({ name: objectName }, bytes);
			hdrs.set(OBJECT_HEADER, objectName);
			bytes = new Uint8Array();
		}
		const options = { msgID: id, headers: hdrs };
		const { seq } = await this.#js.publish(subject, bytes, options);
		return { seq, hasObject: isLong };
	}

	/** @throws broker_failed where its object is gone */
	async read(message: Pick<Msg, "headers" | "data">): Promise<string> {
		const name = message.headers?.get(OBJECT_HEADER);
		if (!name) return new TextDecoder().decode(message.data);
		const blob = await (await this.#open()).getBlob(name);
		if (blob === null)
			throw new NanoVllmError(
				"broker_failed",
				`object ${name} of ${this.#bucket} is gone from the NATS server, and the message that names it is not. Delete the job and start it again.`,
			);
		return new TextDecoder().decode(blob);
	}

	/** Does nothing where the message has no object. */
	async discard(message: Pick<Msg, "headers">): Promise<void> {
		const name = message.headers?.get(OBJECT_HEADER);
		if (name) await this.remove(name);
	}

	async remove(objectName: string): Promise<void> {
		await (await this.#open()).delete(objectName);
	}

	#open(): Promise<ObjectStore> {
		this.#store ??= new Objm(this.#nc).create(this.#bucket);
		this.#store.catch(() => {
			this.#store = null;
		});
		return this.#store;
	}
}
