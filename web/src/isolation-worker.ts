/**
 * A service worker for hosts whose headers one cannot set: gives pages and workers the two that let threads share memory. Stores
 * nothing and touches nothing else. Registered by isolate.ts.
 */

/** What of a service worker's scope is used here; TypeScript's own library for it contradicts that of pages. */
interface Scope {
	skipWaiting(): Promise<void>;
	readonly clients: { claim(): Promise<void> };
	addEventListener(
		type: "install" | "activate",
		listener: (event: { waitUntil(it: Promise<void>): void }) => void,
	): void;
	addEventListener(
		type: "fetch",
		listener: (event: {
			readonly request: Request;
			respondWith(it: Promise<Response>): void;
		}) => void,
	): void;
}

const scope = globalThis as unknown as Scope;

scope.addEventListener("install", (event) => {
	event.waitUntil(scope.skipWaiting());
});
scope.addEventListener("activate", (event) => {
	event.waitUntil(scope.clients.claim());
});
scope.addEventListener("fetch", (event) => {
	const { request } = event;
	const isOurs = new URL(request.url).origin === location.origin;
	const needsHeaders =
		request.mode === "navigate" ||
		request.destination === "worker" ||
		request.destination === "script";
	if (isOurs && needsHeaders) event.respondWith(isolated(request));
});

async function isolated(request: Request): Promise<Response> {
	const response = await fetch(request);
	if (response.status === 0 || response.redirected) return response;
	const headers = new Headers(response.headers);
	headers.set("Cross-Origin-Opener-Policy", "same-origin");
	headers.set("Cross-Origin-Embedder-Policy", "require-corp");
	const { body, status, statusText } = response;
	return new Response(body, { status, statusText, headers });
}
