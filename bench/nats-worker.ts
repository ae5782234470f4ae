/**
 * A worker of `bench/nats.ts` whose engine takes no time of the processor: what is left is the way there and back.
 *   node bench/nats-worker.ts URL PLACES [MS-PER-ANSWER]
 * A quarter more than it has places is asked for, as a real engine does.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import { openBroker } from "../src/nats/broker.ts";
import { Worker } from "../src/nats/worker.ts";

const [url, places, delayMs = "0"] = process.argv.slice(2);
const delay = Number(delayMs);
let numFree = Number(places);
const waiting: (() => void)[] = [];

/** Takes a place for as long as an answer takes. */
async function work(): Promise<void> {
	if (delay === 0) return;
	if (numFree > 0) numFree--;
	else await new Promise<void>((resolve) => waiting.push(resolve));
	await sleep(delay);
	const next = waiting.shift();
	if (next === undefined) numFree++;
	else next();
}

const nc = await connect({ servers: url });
const told = new AbortController();
process.on("SIGTERM", () => told.abort());
const worker = new Worker({
	broker: await openBroker(nc),
	engine: {
		served: { names: ["dummy"], engine: {} },
		credit: () => Math.ceil(Number(places) * 1.25),
		failure: null,
		open: () => async (_question, id) => {
			await work();
			const text = "and then there was another one ".repeat(8);
			const body = { choices: [{ text }] };
			const response = { status_code: 200, request_id: id, body };
			return { response, error: null };
		},
	},
	id: `bench-${process.pid}`,
	about: { host: "here", device: "none" },
	log() {},
	now: () => performance.now(),
});
await worker.run(told.signal, () => 0);
await nc.close();
