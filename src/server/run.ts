/** Runs the prompts of one HTTP request on the engine, side by side, and ends all of them when one fails or the client leaves. Knows no bodies. */
import type {
	CompletionDelta,
	LoraRequest,
	RequestOutput,
	SamplingParamsInput,
} from "../index.ts";
import type { ServedEngine } from "./engine.ts";
import type { RequestRecorder, ServerMetrics } from "./metrics.ts";

export interface Task {
	readonly promptTokenIds: readonly number[];
	readonly params: SamplingParamsInput;
	readonly priority: number | undefined;
	readonly cacheSalt: string | null;
	/** null: the model as it is. */
	readonly loraRequest: LoraRequest | null;
}

export interface RunContext {
	readonly engine: ServedEngine;
	readonly metrics: ServerMetrics;
	readonly signal: AbortSignal;
}

export type OnDelta = (delta: CompletionDelta, promptIndex: number) => void;

/** @returns the outputs in the order of the tasks. @throws the first error, once nothing runs any more */
export async function runTasks(
	tasks: readonly Task[],
	{ engine, metrics, signal }: RunContext,
	onDelta?: OnDelta,
): Promise<RequestOutput[]> {
	signal.throwIfAborted();
	const controller = new AbortController();
	const stop = () => controller.abort(signal.reason);
	signal.addEventListener("abort", stop, { once: true });
	const runs = tasks.map(async (task, promptIndex) => {
		const { n = 1, maxTokens = null } = task.params;
		const recorder = metrics.recorder(n, maxTokens);
		try {
			return await runOne(task, engine, controller.signal, recorder, (delta) =>
				onDelta?.(delta, promptIndex),
			);
		} catch (error) {
			recorder.onCut(controller.signal.aborted ? "abort" : "error", n);
			controller.abort(error);
			throw error;
		}
	});
	try {
		await Promise.allSettled(runs);
		if (controller.signal.aborted) throw controller.signal.reason;
		return await Promise.all(runs);
	} finally {
		signal.removeEventListener("abort", stop);
	}
}

async function runOne(
	{ promptTokenIds, params, ...rest }: Task,
	engine: ServedEngine,
	signal: AbortSignal,
	recorder: RequestRecorder,
	onDelta: (delta: CompletionDelta) => void,
): Promise<RequestOutput> {
	const options = { signal, ...rest };
	const stream = engine.stream({ promptTokenIds }, params, options);
	for (;;) {
		const { value, done } = await stream.next();
		if (done) {
			recorder.onOutput(value);
			return value;
		}
		if (value.tokenIds.length > 0)
			recorder.onTokens(value.index, performance.now());
		onDelta(value);
	}
}
