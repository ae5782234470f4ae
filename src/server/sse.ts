/** Server-sent events: a run's chunks as a Response. Bounded: a client that does not read is cut. Knows no chunk's form. */
import { ApiError, clientGone, toApiError } from "./api-error.ts";
import { HEADERS_WAIT_MS, MAX_UNREAD_BYTES } from "./limits.ts";

export interface EventSink {
	/** One event: `data: …`, with `event: name` before it where there is a name. */
	send(data: unknown, event?: string): void;
	/** `data: [DONE]` */
	done(): void;
}

export interface StreamOptions {
	/** Sends events until the answer is complete. */
	readonly run: (sink: EventSink) => Promise<void>;
	/** The client left, or does not read. */
	readonly onCancel: (reason: ApiError) => void;
	/** Called once where a Response was given, however it ended; null: complete. */
	readonly onEnd: (error: ApiError | null) => void;
	/** What is sent where it fails in the middle. */
	readonly sendError: (sink: EventSink, error: ApiError) => void;
}

const HEADERS = {
	"content-type": "text/event-stream; charset=utf-8",
	"cache-control": "no-cache",
	"x-accel-buffering": "no",
};

/**
 * A Response as soon as there is a first event, or a while has passed: what fails at once is thrown, and gets a status.
 * @throws ApiError
 */
export async function streamEvents(options: StreamOptions): Promise<Response> {
	let controller!: ReadableStreamDefaultController<Uint8Array>;
	let isOpen = true;
	const body = new ReadableStream<Uint8Array>(
		{
			start: (c) => {
				controller = c;
			},
			cancel: () => {
				isOpen = false;
				options.onCancel(clientGone());
			},
		},
		new ByteLengthQueuingStrategy({ highWaterMark: MAX_UNREAD_BYTES }),
	);
	const encoder = new TextEncoder();
	let onFirst = () => {};
	const first = new Promise<void>((resolve) => {
		onFirst = resolve;
	});
	const write = (text: string) => {
		if (!isOpen) return;
		controller.enqueue(encoder.encode(text));
		onFirst();
		if ((controller.desiredSize ?? 0) > 0) return;
		isOpen = false;
		const reason = new ApiError(499, "the client does not read.", {
			code: "client_too_slow",
		});
		controller.error(reason);
		options.onCancel(reason);
	};
	const sink: EventSink = {
		send(data, event) {
			const head = event === undefined ? "" : `event: ${event}\n`;
			write(`${head}data: ${JSON.stringify(data)}\n\n`);
		},
		done: () => write("data: [DONE]\n\n"),
	};
	const run = options.run(sink).then(
		() => null,
		(error: unknown) => toApiError(error),
	);
	let timer: ReturnType<typeof setTimeout> | undefined;
	const waited = new Promise<void>((resolve) => {
		timer = setTimeout(resolve, HEADERS_WAIT_MS);
	});
	const early = await Promise.race([run, first, waited]);
	clearTimeout(timer);
	if (early instanceof ApiError) throw early;
	run.then((error) => {
		if (error !== null) options.sendError(sink, error);
		if (isOpen) controller.close();
		isOpen = false;
		options.onEnd(error);
	});
	return new Response(body, { headers: HEADERS });
}
