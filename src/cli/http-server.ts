/** A fetch handler behind Node's HTTP server: a port or a Unix socket, bounds on headers and slow clients. Knows no engine. */
import { rmSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { NanoVllmError } from "../errors.ts";
import type { ListenOptions } from "./serve-flags.ts";

export interface HttpServer {
	/** http://127.0.0.1:8000 or unix:/path */
	readonly address: string;
	/** No new connections; those that are open end when they have been answered. */
	close(): Promise<void>;
}

/** A client that has not sent its headers by then will not. */
const HEADERS_TIMEOUT_MS = 20_000;
/** Nor its body. */
const BODY_TIMEOUT_MS = 120_000;
/** Longer than load balancers keep theirs (60 s), so that they and not we close an idle connection. */
const KEEP_ALIVE_MS = 75_000;
const MAX_HEADER_BYTES = 32 * 1024;
const MAX_HEADERS = 200;

/** @throws invalid_option where it cannot listen */
export async function listen(
	fetch: (request: Request) => Promise<Response>,
	where: Pick<ListenOptions, "host" | "port" | "uds">,
): Promise<HttpServer> {
	const server = createServer(
		{
			maxHeaderSize: MAX_HEADER_BYTES,
			headersTimeout: HEADERS_TIMEOUT_MS,
			requestTimeout: BODY_TIMEOUT_MS,
			keepAliveTimeout: KEEP_ALIVE_MS,
			noDelay: true,
		},
		getRequestListener(fetch, { overrideGlobalObjects: false }),
	);
	server.maxHeadersCount = MAX_HEADERS;
	if (where.uds !== null) removeStaleSocket(where.uds);
	await bind(server, where);
	return {
		address: addressOf(server, where),
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				server.closeIdleConnections();
				// What still sends to a server that has ended is cut.
				setTimeout(() => server.closeAllConnections(), 1000).unref();
			}),
	};
}

function bind(
	server: Server,
	{ host, port, uds }: Pick<ListenOptions, "host" | "port" | "uds">,
): Promise<void> {
	const where = uds === null ? `${host}:${port}` : uds;
	return new Promise((resolve, reject) => {
		server.once("error", (cause: NodeJS.ErrnoException) => {
			const mend =
				cause.code === "EADDRINUSE"
					? "Something listens there already: stop it, or take another --port."
					: "Check --host and --port, or --uds.";
			reject(
				new NanoVllmError(
					"invalid_option",
					`could not listen on ${where} (${cause.code ?? cause.message}). ${mend}`,
					{ cause },
				),
			);
		});
		const ready = () => resolve();
		if (uds === null) server.listen({ host, port }, ready);
		else server.listen({ path: uds }, ready);
	});
}

/** A socket that a server left behind when it was killed; anything else stays where it is. */
function removeStaleSocket(path: string): void {
	if (statSync(path, { throwIfNoEntry: false })?.isSocket()) rmSync(path);
}

function addressOf(
	server: Server,
	{ uds }: Pick<ListenOptions, "uds">,
): string {
	if (uds !== null) return `unix:${uds}`;
	const { address, family, port } = server.address() as AddressInfo;
	return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
}
