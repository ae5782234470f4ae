/** How a command reaches NATS: flags, the environment's variables as NATS's own command line names them, and a connection that comes back. */
import { readFileSync } from "node:fs";
import type { NodeConnectionOptions } from "@nats-io/transport-node";
import { NanoVllmError } from "../errors.ts";
import type { Broker } from "../nats/broker.ts";
import { codeOf } from "./batch-files.ts";
import { type FlagTable, givenFlags } from "./flags.ts";
import { note } from "./terminal.ts";

export interface NatsOptions {
	readonly nats: string;
	readonly natsCreds: string;
	readonly natsNkey: string;
	readonly natsUser: string;
	readonly natsCa: string;
	readonly natsCert: string;
	readonly natsKey: string;
}

const file = (about: string) => ({ about, value: "path" });

export const NATS_FLAGS: FlagTable = {
	nats: {
		about:
			"nats://, tls:// or several between commas; NAME:PASSWORD@ or TOKEN@ may stand before the host",
		value: "url",
	},
	natsCreds: file("credentials file of NATS's JWT (or NATS_CREDS)"),
	natsNkey: file("file with an nkey's seed (or NATS_NKEY)"),
	natsUser: {
		about: "user (or NATS_USER; NATS_PASSWORD or NATS_TOKEN hold the secret)",
		value: "name",
	},
	natsCa: file("certificates to trust (or NATS_CA)"),
	natsCert: file("this client's certificate (or NATS_CERT)"),
	natsKey: file("and its key (or NATS_KEY)"),
};

/** A server that says nothing for so long is gone. */
const PING_MS = 5000;
const MAX_PINGS_OUT = 2;
const CONNECT_MS = 5000;
const RECONNECT_MS = 500;

export interface OpenedBroker {
	readonly broker: Broker;
	/** Why it can never come back, once it cannot. */
	readonly lost: Promise<NanoVllmError>;
	close(): Promise<void>;
}

/** @throws invalid_option for what cannot be read or is not installed, broker_failed */
export async function openNats(
	options: Readonly<Record<string, unknown>>,
	name: string,
): Promise<OpenedBroker> {
	const given = givenFlags<NatsOptions>(NATS_FLAGS, options);
	const url = given.nats ?? process.env.NATS_URL;
	if (!url)
		throw new NanoVllmError(
			"invalid_option",
			"no NATS server is named. Give --nats nats://HOST:4222, or set NATS_URL.",
		);
	const { connect, credsAuthenticator, nkeyAuthenticator } = await installed(
		() => import("@nats-io/transport-node"),
	);
	const { openBroker } = await installed(() => import("../nats/broker.ts"));
	const { natsCreds: creds, natsNkey: nkey } = withEnvironment(given);
	const authenticator =
		creds !== undefined
			? credsAuthenticator(readFile(creds))
			: nkey !== undefined
				? nkeyAuthenticator(new TextEncoder().encode(seedOf(nkey)))
				: undefined;
	const how = { ...connectionOptions(url, given), name, authenticator };
	const nc = await reach(url, () => connect(how));
	void tellStatus(nc);
	const lost = nc.closed().then((cause) => lostFor(url, cause));
	try {
		return { broker: await openBroker(nc), lost, close: () => nc.close() };
	} catch (error) {
		await nc.close();
		throw error;
	}
}

function withEnvironment(given: Partial<NatsOptions>): Partial<NatsOptions> {
	const { env } = process;
	return {
		natsCreds: given.natsCreds ?? env.NATS_CREDS,
		natsNkey: given.natsNkey ?? env.NATS_NKEY,
		natsUser: given.natsUser ?? env.NATS_USER,
		natsCa: given.natsCa ?? env.NATS_CA,
		natsCert: given.natsCert ?? env.NATS_CERT,
		natsKey: given.natsKey ?? env.NATS_KEY,
	};
}

/** Names and secrets before a host are taken out: the client does not know them there. */
export function connectionOptions(
	text: string,
	given: Partial<NatsOptions>,
): NodeConnectionOptions {
	const urls = text.split(",").map(parseUrl);
	const { natsUser, natsCa, natsCert, natsKey } = withEnvironment(given);
	const [{ username, password, protocol }] = urls;
	const isToken = username !== "" && password === "";
	const { NATS_PASSWORD, NATS_TOKEN } = process.env;
	const user = isToken ? natsUser : username || natsUser;
	const hasTls =
		protocol === "tls:" || natsCa !== undefined || natsCert !== undefined;
	return {
		servers: urls.map(({ hostname, port }) => `${hostname}:${port || 4222}`),
		...(user && { user, pass: password || NATS_PASSWORD }),
		...(isToken
			? { token: username }
			: NATS_TOKEN && !user && { token: NATS_TOKEN }),
		...(hasTls && {
			tls: { caFile: natsCa, certFile: natsCert, keyFile: natsKey },
		}),
		maxReconnectAttempts: -1,
		reconnectTimeWait: RECONNECT_MS,
		timeout: CONNECT_MS,
		pingInterval: PING_MS,
		maxPingOut: MAX_PINGS_OUT,
		ignoreAuthErrorAbort: true,
	};
}

interface ServerUrl {
	readonly protocol: string;
	readonly hostname: string;
	readonly port: string;
	readonly username: string;
	readonly password: string;
}

function parseUrl(text: string): ServerUrl {
	const whole = text.includes("://") ? text : `nats://${text}`;
	const url = URL.canParse(whole) ? new URL(whole) : null;
	if (url === null || !/^(nats|tls):$/.test(url.protocol) || !url.hostname)
		throw new NanoVllmError(
			"invalid_option",
			`--nats must be like nats://HOST:4222 or tls://HOST:4222, got ${text}.`,
		);
	const { protocol, hostname, port } = url;
	const username = decodeURIComponent(url.username);
	const password = decodeURIComponent(url.password);
	return { protocol, hostname, port, username, password };
}

/** Optional packages. @throws invalid_option where they are not there */
export async function installed<T>(load: () => Promise<T>): Promise<T> {
	try {
		return await load();
	} catch (cause) {
		if (codeOf(cause) !== "ERR_MODULE_NOT_FOUND") throw cause;
		throw new NanoVllmError(
			"invalid_option",
			"NATS's client is not installed here. Install it: npm install @nats-io/transport-node @nats-io/jetstream @nats-io/kv @nats-io/obj",
			{ cause },
		);
	}
}

function readFile(path: string): Uint8Array {
	try {
		return readFileSync(path);
	} catch (cause) {
		throw new NanoVllmError(
			"invalid_option",
			`${path} could not be read (${codeOf(cause)}). It is to let this user into NATS.`,
			{ cause },
		);
	}
}

/** A seed may stand among comments. */
const seedOf = (path: string): string =>
	/\bS[A-Z2-7]{57}\b/.exec(new TextDecoder().decode(readFile(path)))?.[0] ?? "";

async function reach<T>(url: string, attempt: () => Promise<T>): Promise<T> {
	try {
		return await attempt();
	} catch (cause) {
		const { message } = cause as Error;
		const cut = ((cause as Error).cause as Error | undefined)?.message;
		throw new NanoVllmError(
			"broker_failed",
			`${shown(url)} could not be reached (${[message, cut].filter(Boolean).join(": ")}). Start nats-server -js there, or mend --nats and what it is to be let in by.`,
			{ cause },
		);
	}
}

/** Without secrets. */
const shown = (url: string) => url.replace(/\/\/[^@,]*@/g, "//");

const lostFor = (url: string, cause: unknown): NanoVllmError =>
	new NanoVllmError(
		"broker_failed",
		`the connection to ${shown(url)} is closed${cause ? ` (${(cause as Error).message})` : ""}. Start again with the same arguments: it goes on from there.`,
		{ cause },
	);

async function tellStatus(nc: Broker["nc"]): Promise<void> {
	for await (const status of nc.status()) {
		if (status.type === "disconnect") note("NATS: connection lost");
		if (status.type === "reconnect") note("NATS: connected again");
		if (status.type === "error") note(`NATS: ${status.error.message}`);
	}
}
