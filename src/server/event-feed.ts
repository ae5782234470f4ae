/**
 * What an engine does as server-sent events for one client: `data: [event, …]`, a snapshot first. Bounded: a client that falls behind is
 * told nothing until it has read what it was sent, then everything anew, from a snapshot on. Knows no HTTP.
 */
import type { EngineEvent, LLM } from "../index.ts";
import {
	FEED_BATCH_MS,
	FEED_HEARTBEAT_MS,
	MAX_FEED_BATCH,
	MAX_FEED_UNREAD_BYTES,
} from "./limits.ts";

export interface FeedOptions {
	readonly observe: LLM["observe"];
	/** The client left. */
	readonly signal: AbortSignal;
	/** Why it must end; null: it goes on. Asked with every heartbeat. */
	readonly failure: () => Error | null;
	/** Called once; no listener and no timer is left. */
	readonly onEnd: () => void;
}

export interface EventFeed {
	readonly body: ReadableStream<Uint8Array>;
	/** Ends the stream. */
	close(): void;
}

export function createFeed(options: FeedOptions): EventFeed {
	const encoder = new TextEncoder();
	let controller!: ReadableStreamDefaultController<Uint8Array>;
	let batch: EngineEvent[] = [];
	let timer: ReturnType<typeof setTimeout> | undefined;
	/** Ends listening; null: it has fallen behind, or ended. */
	let leave: (() => void) | null = null;
	let isOpen = true;

	const hasRoom = () => (controller.desiredSize ?? 0) > 0;
	const write = (text: string) => controller.enqueue(encoder.encode(text));
	const stopListening = () => {
		clearTimeout(timer);
		timer = undefined;
		batch = [];
		leave?.();
		leave = null;
	};
	const flush = () => {
		clearTimeout(timer);
		timer = undefined;
		if (!hasRoom()) return stopListening();
		write(`data: ${JSON.stringify(batch)}\n\n`);
		batch = [];
	};
	const listen = () => {
		if (!isOpen || leave !== null) return;
		leave = options.observe((event) => {
			batch.push(event);
			if (event.type === "snapshot" || batch.length >= MAX_FEED_BATCH) flush();
			else timer ??= setTimeout(flush, FEED_BATCH_MS);
		});
	};
	const end = () => {
		if (!isOpen) return;
		isOpen = false;
		stopListening();
		clearInterval(heartbeat);
		options.signal.removeEventListener("abort", close);
		options.onEnd();
	};
	const close = () => {
		if (!isOpen) return;
		end();
		controller.close();
	};
	const heartbeat = setInterval(() => {
		if (options.failure() !== null) close();
		else if (hasRoom()) write(": still here\n\n");
	}, FEED_HEARTBEAT_MS);
	const body = new ReadableStream<Uint8Array>(
		{
			start: (c) => {
				controller = c;
			},
			pull: listen,
			cancel: end,
		},
		new ByteLengthQueuingStrategy({ highWaterMark: MAX_FEED_UNREAD_BYTES }),
	);
	options.signal.addEventListener("abort", close, { once: true });
	if (options.signal.aborted) close();
	return { body, close };
}
