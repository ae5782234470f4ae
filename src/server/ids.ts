/** Names of requests and of what is in answers: random, or the one the client gave. */

const hex = (): string => crypto.randomUUID().replaceAll("-", "");

export const createCallId = (): string => `call_${hex().slice(0, 24)}`;
export const createItemId = (prefix: string): string => `${prefix}_${hex()}`;

/** Letters, digits and a few signs: it goes into headers, logs and ids as it is. */
const REQUEST_ID = /^[\w.:/+=@-]{1,128}$/;

/** X-Request-Id as it came, where it is one; else a new one. */
export const requestIdOf = (headers: Headers): string => {
	const given = headers.get("x-request-id");
	return given !== null && REQUEST_ID.test(given) ? given : hex();
};
