/** Asking a broker that may be away for a while until it answers. */
import { NanoVllmError } from "../errors.ts";

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 2000;

export interface Persistence {
	/** Ends the attempts with its reason. */
	readonly signal: AbortSignal;
	/** Whether an error says that there is no use in trying again. */
	readonly isFinal?: (error: unknown) => boolean;
}

/** @throws what isFinal, or signal.reason */
export async function persist<T>(
	attempt: () => Promise<T>,
	{ signal, isFinal }: Persistence,
): Promise<T> {
	for (let ms = FIRST_PAUSE_MS; ; ms = Math.min(2 * ms, MAX_PAUSE_MS)) {
		signal.throwIfAborted();
		try {
			return await attempt();
		} catch (error) {
			if (isFinal?.(error)) throw error;
			await pause(ms, signal);
		}
	}
}

/** Resolves early where the signal is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
	if (signal.aborted) return Promise.resolve();
	return new Promise((resolve) => {
		const end = () => {
			clearTimeout(timer);
			signal.removeEventListener("abort", end);
			resolve();
		};
		const timer = setTimeout(end, ms);
		signal.addEventListener("abort", end);
	});
}

/** The broker's own word that something is refused; anything else may be the network. */
const isRefusal = (error: unknown): error is Error =>
	error instanceof Error &&
	/^(JetStreamApiError|PermissionViolationError|AuthorizationError)$/.test(
		error.constructor.name,
	);

/** "JetStream system temporarily unavailable", as while it starts. */
const UNAVAILABLE = 10008;

export const isFinalRefusal = (error: unknown): boolean =>
	error instanceof NanoVllmError ||
	(isRefusal(error) && (error as { code?: number }).code !== UNAVAILABLE);

export const brokerFailed = (what: string, cause: unknown): NanoVllmError =>
	cause instanceof NanoVllmError
		? cause
		: new NanoVllmError(
				"broker_failed",
				`the NATS server refused ${what} (${(cause as Error).message}). Mend that and start again with the same arguments: it goes on from there.`,
				{ cause },
			);
