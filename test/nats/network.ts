/**
 * A network with a broker and some workers, each of whom can be cut off without a word: network namespaces where this user may make them,
 * else loopback through a proxy for each worker that stops passing anything on.
 */
import { execFileSync } from "node:child_process";
import { connect, createServer, type Socket } from "node:net";
import { after } from "node:test";
import { startServer, type TestServer } from "./server.ts";

export interface Place {
	readonly url: string;
	/** What a process there is started by. */
	readonly prefix: readonly string[];
	cut(): void;
	heal(): void;
}

export interface Network {
	/** For people: what it is made of, and why. */
	readonly kind: string;
	readonly server: TestServer;
	readonly collectorUrl: string;
	readonly places: readonly Place[];
}

/** Ends with the test file. */
export async function makeNetwork(numPlaces: number): Promise<Network> {
	const reason = whyNoNamespaces();
	return reason === null
		? namespaces(numPlaces)
		: proxies(numPlaces, `loopback and proxies, for want of ${reason}`);
}

const ip = (...args: string[]): string =>
	execFileSync("ip", args, { encoding: "utf8", stdio: "pipe" });

/** null: they can be made. */
function whyNoNamespaces(): string | null {
	if (process.env.NANO_VLLM_LOOPBACK === "1") return "leave";
	if (process.platform !== "linux") return "Linux";
	if (process.getuid?.() !== 0) return "root";
	const name = `nv${process.pid}`;
	try {
		ip("netns", "add", name);
		ip("link", "add", name, "type", "veth", "peer", "name", `${name}p`);
		ip("link", "del", name);
		ip("netns", "exec", name, "true");
		return null;
	} catch (error) {
		return `ip netns (${(error as Error).message.trim().split("\n").at(-1)})`;
	} finally {
		try {
			ip("netns", "del", name);
		} catch {
			// it was not made
		}
	}
}

/** The broker's namespace has a cable to this one and to each worker's; workers see nobody else. */
async function namespaces(numPlaces: number): Promise<Network> {
	const id = process.pid.toString(36);
	const net = `10.${200 + (process.pid % 50)}`;
	const broker = `nv${id}b`;
	const made: string[] = [];
	after(() => {
		for (const name of made) ip("netns", "del", name);
	});
	const makeNamespace = (name: string) => {
		ip("netns", "add", name);
		made.push(name);
		ip("-n", name, "link", "set", "lo", "up");
	};
	/** Between the broker and namespace `to`; null: this one. */
	const cable = (i: number, to: string | null) => {
		const [own, other] = [`nv${id}b${i}`, `nv${id}w${i}`];
		ip("link", "add", own, "type", "veth", "peer", "name", other);
		ip("link", "set", own, "netns", broker);
		if (to !== null) ip("link", "set", other, "netns", to);
		const there = to === null ? [] : ["-n", to];
		ip("-n", broker, "addr", "add", `${net}.${i}.1/30`, "dev", own);
		ip(...there, "addr", "add", `${net}.${i}.2/30`, "dev", other);
		ip("-n", broker, "link", "set", own, "up");
		ip(...there, "link", "set", other, "up");
		return own;
	};
	makeNamespace(broker);
	cable(0, null);
	const server = await startServer({
		host: "0.0.0.0",
		reachedAt: `${net}.0.1`,
		prefix: ["ip", "netns", "exec", broker],
	});
	const places = Array.from({ length: numPlaces }, (_, at): Place => {
		const name = `nv${id}w${at + 1}`;
		makeNamespace(name);
		const end = cable(at + 1, name);
		return {
			url: `nats://${net}.${at + 1}.1:${server.port}`,
			prefix: ["ip", "netns", "exec", name],
			cut: () => void ip("-n", broker, "link", "set", end, "down"),
			heal: () => void ip("-n", broker, "link", "set", end, "up"),
		};
	});
	const collectorUrl = `nats://${net}.0.1:${server.port}`;
	return { kind: "network namespaces", server, collectorUrl, places };
}

async function proxies(numPlaces: number, kind: string): Promise<Network> {
	const server = await startServer();
	const places = await Promise.all(
		Array.from({ length: numPlaces }, () => proxyTo(server.port)),
	);
	return { kind, server, collectorUrl: server.url, places };
}

/** Cut, it accepts and says nothing, as a cable that is pulled out. */
async function proxyTo(port: number): Promise<Place> {
	const sockets = new Set<Socket>();
	let isCut = false;
	const watch = (socket: Socket, other: Socket) => {
		sockets.add(socket);
		if (isCut) socket.pause();
		socket.on("data", (data) => other.write(data));
		socket.on("error", () => other.destroy());
		socket.on("close", () => {
			sockets.delete(socket);
			other.destroy();
		});
	};
	const proxy = createServer((near) => {
		const far = connect(port, "127.0.0.1");
		watch(near, far);
		watch(far, near);
	});
	await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
	after(() => {
		proxy.close();
		for (const socket of sockets) socket.destroy();
	});
	const address = proxy.address() as { port: number };
	return {
		url: `nats://127.0.0.1:${address.port}`,
		prefix: [],
		cut() {
			isCut = true;
			for (const socket of sockets) socket.pause();
		},
		heal() {
			isCut = false;
			for (const socket of sockets) socket.resume();
		},
	};
}
