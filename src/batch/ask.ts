/** A request of a batch as a Request of the Web, and the Response as an answer: what a body means is the server's to say. */
import type { BatchAnswer } from "./records.ts";
import type { BatchRequest } from "./request-line.ts";

/** What has to be known to answer. */
export type Question = Pick<BatchRequest, "url" | "body">;

/** @param id becomes the request's id, in the server's log too */
export async function ask(
	fetch: (request: Request) => Promise<Response>,
	{ url, body }: Question,
	id: string,
	signal?: AbortSignal,
): Promise<BatchAnswer> {
	const headers = { "content-type": "application/json", "x-request-id": id };
	const request = new Request(`http://batch${url}`, {
		method: "POST",
		headers,
		body,
		signal,
	});
	const response = await fetch(request);
	return {
		response: {
			status_code: response.status,
			request_id: response.headers.get("x-request-id") ?? id,
			body: await response.json(),
		},
		error: null,
	};
}
