/** An engine behind OpenAI's API, as nano-vllm serve and vLLM speak it. */
import type { Engine } from "./engine.ts";

export interface ServerAddress {
	/** Where its /v1 lies. */
	readonly address: string;
	/** "": none. */
	readonly apiKey: string;
}

export async function openServerEngine(
	_server: ServerAddress,
	_signal: AbortSignal | undefined,
): Promise<Engine> {
	throw new Error("not yet");
}
