/** One streamed completion over HTTP, with the times at which its tokens came. Knows no engine: any OpenAI-compatible server answers. */

export interface StreamRequest {
	/** …/v1/completions */
	readonly url: string;
	readonly headers: Readonly<Record<string, string>>;
	readonly body: object;
	readonly signal: AbortSignal;
}

export interface StreamTimes {
	/** All in ms from when the request was sent. */
	readonly firstMs: number;
	readonly endMs: number;
	/** Between chunks that brought tokens. */
	readonly gapsMs: readonly number[];
	readonly numPromptTokens: number;
	readonly numOutputTokens: number;
}

interface Chunk {
	readonly choices?: readonly {
		text?: string;
		token_ids?: readonly number[];
	}[];
	readonly usage?: { prompt_tokens: number; completion_tokens: number } | null;
	readonly error?: { message: string };
}

/** @throws Error with the server's own message */
export async function streamCompletion({
	url,
	headers,
	body,
	signal,
}: StreamRequest): Promise<StreamTimes> {
	const start = performance.now();
	const response = await fetch(url, {
		method: "POST",
		headers: { "content-type": "application/json", ...headers },
		body: JSON.stringify(body),
		signal,
	});
	if (!response.ok || response.body === null)
		throw new Error(
			`${response.status}: ${(await response.text()).slice(0, 200)}`,
		);
	const gapsMs: number[] = [];
	let firstMs: number | null = null;
	let lastMs = 0;
	let numChunks = 0;
	let usage: Chunk["usage"] = null;
	for await (const data of eventsOf(response.body)) {
		if (data === "[DONE]") break;
		const chunk = JSON.parse(data) as Chunk;
		if (chunk.error) throw new Error(chunk.error.message);
		usage = chunk.usage ?? usage;
		if (!chunk.choices?.some((c) => c.text || c.token_ids?.length)) continue;
		const now = performance.now() - start;
		if (firstMs === null) firstMs = now;
		else gapsMs.push(now - lastMs);
		lastMs = now;
		numChunks++;
	}
	if (firstMs === null) throw new Error("the stream ended without a token.");
	return {
		firstMs,
		endMs: lastMs,
		gapsMs,
		numPromptTokens: usage?.prompt_tokens ?? 0,
		numOutputTokens: usage?.completion_tokens ?? numChunks,
	};
}

/** The data of server-sent events, as they come. */
async function* eventsOf(
	body: ReadableStream<Uint8Array>,
): AsyncGenerator<string> {
	const decoder = new TextDecoder();
	let rest = "";
	for await (const bytes of body) {
		rest += decoder.decode(bytes, { stream: true });
		const lines = rest.split("\n");
		rest = lines.pop() ?? "";
		for (const line of lines)
			if (line.startsWith("data: ")) yield line.slice(6).trimEnd();
	}
}
