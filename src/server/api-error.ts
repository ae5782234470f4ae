/** What goes wrong, in OpenAI's shape: { error: { message, type, param, code } } with a status. Knows no HTTP framework. */
import { type ErrorCode, NanoVllmError } from "../errors.ts";
import { bodyFieldOf, inBodyFields } from "./field-names.ts";

export interface ErrorDetails {
	/** The field of the body, as a path: messages.0.content. */
	readonly param?: string | null;
	readonly code?: string | null;
	readonly headers?: Readonly<Record<string, string>>;
	readonly cause?: unknown;
}

export interface ErrorBody {
	readonly error: {
		readonly message: string;
		readonly type: string;
		readonly param: string | null;
		readonly code: string | null;
	};
}

/** @example throw new ApiError(404, "there is no model x.", { param: "model", code: "model_not_found" }) */
export class ApiError extends Error {
	readonly status: number;
	readonly param: string | null;
	readonly code: string | null;
	readonly headers: Readonly<Record<string, string>>;

	constructor(status: number, message: string, details: ErrorDetails = {}) {
		super(message, { cause: details.cause });
		this.name = "ApiError";
		this.status = status;
		this.param = details.param ?? null;
		this.code = details.code ?? null;
		this.headers = details.headers ?? {};
	}

	get type(): string {
		if (this.status === 401) return "authentication_error";
		return this.status < 500 ? "invalid_request_error" : "server_error";
	}

	get body(): ErrorBody {
		const { message, type, param, code } = this;
		return { error: { message, type, param, code } };
	}

	toResponse(): Response {
		const { status, headers } = this;
		return Response.json(this.body, { status, headers });
	}
}

export const badRequest = (
	message: string,
	param: string | null = null,
	code = "invalid_value",
): ApiError => new ApiError(400, message, { param, code });

/** Try again in a second: a replica beside this one may be free. */
export const unavailable = (message: string, code: string): ApiError =>
	new ApiError(503, message, { code, headers: { "retry-after": "1" } });

/** The client left; nobody reads this. */
export const clientGone = (): ApiError =>
	new ApiError(499, "the client closed the connection.", {
		code: "client_closed_request",
	});

/** What the library refuses because of the request; everything else is the server's own trouble. */
const STATUS: Partial<Record<ErrorCode, number>> = {
	invalid_option: 400,
	invalid_sampling_params: 400,
	invalid_prompt: 400,
	prompt_too_long: 400,
	invalid_chat_template: 400,
	invalid_tokenizer: 400,
	adapter_not_found: 404, // unloaded meanwhile, or no such folder
	invalid_adapter: 400,
	unsupported_adapter: 400,
	shape_mismatch: 400, // what else may be wrong with an adapter's files: the model's own were read before
	missing_tensor: 400,
	invalid_weights: 400,
	unsupported_dtype: 400,
	nan_weights: 400,
	access_denied: 400,
	download_failed: 502,
	out_of_memory: 400, // a request whose logprobs no step can hold
	aborted: 499,
	not_paused: 409,
	engine_closed: 503,
};

/** Any thrown value as an ApiError. Messages of unknown errors stay inside. */
export function toApiError(cause: unknown): ApiError {
	if (cause instanceof ApiError) return cause;
	if (!(cause instanceof NanoVllmError))
		return new ApiError(
			500,
			"something in the server failed; its log says more.",
			{
				code: "internal_error",
				cause,
			},
		);
	const { code } = cause;
	const message = inBodyFields(cause.message);
	const param = bodyFieldOf(cause.message);
	if (code === "engine_closed") return unavailable(message, code);
	return new ApiError(STATUS[code] ?? 500, message, {
		param,
		code: code === "prompt_too_long" ? "context_length_exceeded" : code,
		cause,
	});
}
