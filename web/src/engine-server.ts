/** An engine behind OpenAI's API, as nano-vllm serve and vLLM speak it. */
import type { EngineEvent } from "nano-vllm";
import type {
	AnswerDelta,
	ChatMessage,
	Engine,
	EngineFacts,
	Sampling,
} from "./engine.ts";
import {
	createServerApi,
	type ServerAddress,
	type ServerApi,
	ServerError,
} from "./server-api.ts";
import { answerDeltas } from "./server-chunks.ts";

/** Alternatives told per token. */
const NUM_LOGPROBS = 8;
/** What /v1/completions would take for a text's end otherwise: 16. */
const DEFAULT_TEXT_TOKENS = 256;
/** A server that says nothing of its longest text. */
const UNKNOWN_MODEL_LEN = 0;
const PROBES = 3;
const PROBE_INTERVAL_MS = 1000;

/** @throws ServerError when there is no such server, or it wants another key */
export async function openServerEngine(
	server: ServerAddress,
	signal?: AbortSignal,
): Promise<Engine> {
	const api = createServerApi(server);
	const model = await firstModel(api, signal);
	const [hasChatTemplate, canPause] = await Promise.all([
		answersChats(api, model.id, signal),
		allowsControl(api, signal),
	]);
	return createServerEngine(api, {
		place: "server",
		modelName: model.id,
		device: null,
		deviceReason: null,
		maxModelLen: model.max_model_len ?? UNKNOWN_MODEL_LEN,
		hasChatTemplate,
		canPause,
	});
}

type Stream = (
	path: string,
	body: object,
	logprobs: object,
	signal: AbortSignal,
) => AsyncGenerator<AnswerDelta, void, void>;

/** @param onSilent called when the server gives no answer at all */
function createStream(
	api: ServerApi,
	model: string,
	closed: AbortSignal,
	onSilent: (message: string) => void,
): Stream {
	/** Asks again without log-probabilities where the server has none. */
	let withLogprobs = true;
	return async function* (path, body, logprobs, signal) {
		const send = () => {
			const asked = { ...body, ...(withLogprobs && logprobs) };
			const all = { model, stream: true, ...asked };
			return answerDeltas(
				api.events(path, all, AbortSignal.any([signal, closed])),
			);
		};
		try {
			yield* send();
		} catch (error) {
			if (error instanceof ServerError && error.status === null)
				onSilent(error.message);
			if (!withLogprobs || !isAboutLogprobs(error)) throw error;
			withLogprobs = false;
			yield* send();
		}
	};
}

function createServerEngine(api: ServerApi, facts: EngineFacts): Engine {
	const { promise: lost, resolve: lose } = Promise.withResolvers<string>();
	const closed = new AbortController();
	const { signal: closing } = closed;
	const stream = createStream(api, facts.modelName, closing, (message) => {
		void probe(api, closing).then((isThere) => {
			if (!isThere) lose(message);
		});
	});
	const control = (verb: "pause" | "resume" | "step") => async () => {
		await api.post(`/inspector/${verb}`, {}, closing);
	};
	return {
		facts,
		lost,
		streamChat: (messages: readonly ChatMessage[], sampling, signal) =>
			stream(
				"/v1/chat/completions",
				{ messages, ...bodyOf(sampling) },
				{ logprobs: true, top_logprobs: NUM_LOGPROBS },
				signal,
			),
		streamText: (prompt, { ignoreEos, ...sampling }, signal) =>
			stream(
				"/v1/completions",
				{
					prompt,
					max_tokens: DEFAULT_TEXT_TOKENS,
					...bodyOf(sampling),
					...(ignoreEos && { ignore_eos: true }),
				},
				{ logprobs: NUM_LOGPROBS },
				signal,
			),
		observe: (listener, onEnd) => observe(api, listener, onEnd),
		pause: control("pause"),
		resume: control("resume"),
		step: control("step"),
		async detokenize(tokenIds) {
			const body = { model: facts.modelName, tokens: tokenIds };
			const answer = await api.post("/detokenize", body, closing);
			return (answer as { prompt: string }).prompt;
		},
		async close() {
			closed.abort(new DOMException("the engine was left.", "AbortError"));
		},
	};
}

/** Only what is set: servers that know less refuse what they do not know. */
function bodyOf(sampling: Sampling): object {
	const { temperature, topP, topK, minP, repetitionPenalty, seed, maxTokens } =
		sampling;
	const body = {
		temperature,
		top_p: topP,
		top_k: topK,
		min_p: minP,
		repetition_penalty: repetitionPenalty,
		seed,
		max_tokens: maxTokens,
	};
	return Object.fromEntries(
		Object.entries(body).filter(([, value]) => value !== undefined),
	);
}

function isAboutLogprobs(error: unknown): boolean {
	return (
		error instanceof ServerError &&
		error.status === 400 &&
		/logprobs/i.test(error.message)
	);
}

interface ServedModel {
	readonly id: string;
	readonly max_model_len?: number;
}

async function firstModel(
	api: ServerApi,
	signal: AbortSignal | undefined,
): Promise<ServedModel> {
	const answer = (await api.get("/v1/models", signal)) as {
		data?: ServedModel[];
	} | null;
	const model = answer?.data?.[0];
	if (typeof model?.id === "string") return model;
	throw new ServerError(
		null,
		"the server names no model at /v1/models. Is this the address of an OpenAI-compatible server?",
	);
}

/** Its tokenizer refuses a conversation where there is no template. A server without that endpoint is taken at its word. */
async function answersChats(
	api: ServerApi,
	model: string,
	signal: AbortSignal | undefined,
): Promise<boolean> {
	try {
		const messages = [{ role: "user", content: "?" }];
		await api.post("/tokenize", { model, messages }, signal);
		return true;
	} catch (error) {
		return !(error instanceof ServerError && error.status === 400);
	}
}

/** An engine that is not paused takes no step: where that is the answer (409), one may ask. */
async function allowsControl(
	api: ServerApi,
	signal: AbortSignal | undefined,
): Promise<boolean> {
	try {
		await api.post("/inspector/step", {}, signal);
		return true;
	} catch (error) {
		return error instanceof ServerError && error.status === 409;
	}
}

/** Whether it answers after all; looks a few times. */
async function probe(api: ServerApi, signal: AbortSignal): Promise<boolean> {
	for (let i = 0; i < PROBES; i++) {
		await new Promise((done) => setTimeout(done, PROBE_INTERVAL_MS));
		try {
			await api.get("/v1/models", signal);
			return true;
		} catch (error) {
			if (signal.aborted) return true;
			if (error instanceof ServerError && error.status !== null) return true;
		}
	}
	return false;
}

/** One event or a list of them a message. */
function observe(
	api: ServerApi,
	listener: (event: EngineEvent) => void,
	onEnd: (reason: string) => void,
): () => void {
	const controller = new AbortController();
	const { signal } = controller;
	const follow = async () => {
		for await (const data of api.events("/inspector/events", null, signal)) {
			const events = Array.isArray(data) ? data : [data];
			for (const event of events as EngineEvent[])
				if (!signal.aborted) listener(event);
		}
	};
	follow().then(
		() => onEnd("the server ended the stream."),
		(error: Error) => {
			if (!signal.aborted) onEnd(error.message);
		},
	);
	return () => controller.abort();
}
