/**
 * A nats-server for a test, with JetStream on a store of its own, that can be killed and started again on the same port.
 * Where there is no nats-server (Debian: apt install nats-server) tests that want one are skipped; NANO_VLLM_REQUIRE_NATS=1 fails them.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectSocket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type NodeConnectionOptions } from "@nats-io/transport-node";
import { type Broker, openBroker } from "../../src/nats/broker.ts";

const START_MS = 10_000;

/** Why tests with a server cannot run; false: they can. */
export const skip: string | false = whyNot();

function whyNot(): string | false {
	const { error } = spawnSync("nats-server", ["--version"]);
	if (error === undefined) return false;
	const reason = "no nats-server here: apt install nats-server";
	assert.notEqual(process.env.NANO_VLLM_REQUIRE_NATS, "1", reason);
	return reason;
}

export interface TestServer {
	readonly port: number;
	readonly url: string;
	/** -9; what was stored stays. */
	kill(): Promise<void>;
	start(): Promise<void>;
}

export interface ServerOptions {
	/** Lines of the configuration file. */
	readonly config?: string;
	readonly jetstream?: boolean;
	readonly host?: string;
	/** What the server is started by, as `ip netns exec NAME`. */
	readonly prefix?: readonly string[];
	/** Where this process reaches it, if that is not where it listens. */
	readonly reachedAt?: string;
}

/** Ends with the test file. */
export async function startServer({
	config = "",
	jetstream = true,
	host = "127.0.0.1",
	prefix = [],
	reachedAt = host,
}: ServerOptions = {}): Promise<TestServer> {
	const folder = mkdtempSync(join(tmpdir(), "nats-"));
	const port = await freePort();
	const path = join(folder, "server.conf");
	const store = join(folder, "store");
	writeFileSync(
		path,
		[
			`listen: "${host}:${port}"`,
			...(jetstream ? [`jetstream { store_dir: "${store}" }`] : []),
			config,
		].join("\n"),
	);
	let server: ChildProcess | null = null;
	const kill = async () => {
		if (server === null || server.exitCode !== null) return;
		const ended = new Promise((resolve) => server?.once("exit", resolve));
		server.kill("SIGKILL");
		await ended;
	};
	const start = async () => {
		const [command, ...args] = [...prefix, "nats-server", "-c", path];
		server = spawn(command, args, { stdio: "ignore" });
		const until = performance.now() + START_MS;
		while (!(await accepts(reachedAt, port))) {
			assert.ok(performance.now() < until, "nats-server listens");
			await sleep(20);
		}
	};
	after(async () => {
		await kill();
		rmSync(folder, { recursive: true, force: true });
	});
	await start();
	return { port, url: `nats://${reachedAt}:${port}`, kill, start };
}

function freePort(): Promise<number> {
	return new Promise((resolve) => {
		const server = createServer().listen(0, "127.0.0.1", () => {
			const address = server.address();
			server.close(() => resolve((address as { port: number }).port));
		});
	});
}

function accepts(host: string, port: number): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = connectSocket(port, host);
		socket.once("connect", () => resolve(true));
		socket.once("error", () => resolve(false));
		socket.once("close", () => resolve(false));
		socket.once("connect", () => socket.destroy());
	});
}

/** Ends with the test file. */
export async function connectTo(
	url: string,
	options: NodeConnectionOptions = {},
): Promise<Broker> {
	const nc = await connect({
		servers: url.replace("nats://", ""),
		maxReconnectAttempts: -1,
		reconnectTimeWait: 100,
		...options,
	});
	after(() => nc.close());
	return openBroker(nc);
}
