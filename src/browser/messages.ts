/** What a page and the worker with its model say to one another: calls, and what becomes of them. Knows no method. */
import { type ErrorCode, NanoVllmError } from "../errors.ts";

export type ToWorker =
	| {
			readonly kind: "call";
			readonly call: number;
			readonly method: string;
			readonly args: readonly unknown[];
	  }
	| { readonly kind: "abort"; readonly call: number };

export type FromWorker =
	/** The worker listens, and holds the lock of this name for as long as it lives; null: it knows no locks. */
	| { readonly kind: "alive"; readonly lock: string | null }
	/** Any number of times for a call that is under way: what it has come to so far. */
	| { readonly kind: "news"; readonly call: number; readonly value: unknown }
	| { readonly kind: "result"; readonly call: number; readonly value: unknown }
	| { readonly kind: "error"; readonly call: number; readonly error: WireError }
	/** The model is good for nothing any more. */
	| { readonly kind: "lost"; readonly error: WireError };

/** An error as it crosses threads, which keep neither its class nor its code. */
export interface WireError {
	readonly name: string;
	readonly message: string;
	readonly code: ErrorCode | null;
	readonly stack: string | undefined;
	readonly cause: WireError | null;
}

/** Chains of causes end; one that does not is cut. */
const MAX_CAUSES = 8;

export function packError(error: unknown, depth = 0): WireError {
	const isError = error instanceof Error;
	const cause = isError && depth < MAX_CAUSES ? error.cause : undefined;
	return {
		name: isError ? error.name : "Error",
		message: isError ? error.message : String(error),
		code: error instanceof NanoVllmError ? error.code : null,
		stack: isError ? error.stack : undefined,
		cause: cause === undefined ? null : packError(cause, depth + 1),
	};
}

export function unpackError(wire: WireError): Error {
	const { name, message, code, stack } = wire;
	const options = wire.cause === null ? {} : { cause: unpackError(wire.cause) };
	const error =
		code === null
			? Object.assign(new Error(message, options), { name })
			: new NanoVllmError(code, message, options);
	// Where it happened, not where it arrived.
	if (stack !== undefined) error.stack = stack;
	return error;
}
