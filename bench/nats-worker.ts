/** A worker of `bench/nats.ts` whose engine answers at once: what is left is the way there and back. node bench/nats-worker.ts URL CREDIT */
import { connect } from "@nats-io/transport-node";
import { openBroker } from "../src/nats/broker.ts";
import { Worker } from "../src/nats/worker.ts";

const [url, credit] = process.argv.slice(2);
const nc = await connect({ servers: url });
const told = new AbortController();
process.on("SIGTERM", () => told.abort());
const worker = new Worker({
	broker: await openBroker(nc),
	engine: {
		served: { names: ["dummy"], engine: {} },
		credit: () => Number(credit),
		failure: null,
		open: () => async (_question, id) => ({
			response: {
				status_code: 200,
				request_id: id,
				body: {
					choices: [{ text: "and then there was another one ".repeat(8) }],
				},
			},
			error: null,
		}),
	},
	id: `bench-${process.pid}`,
	about: { host: "here", device: "none" },
	log() {},
	now: () => performance.now(),
});
await worker.run(told.signal, () => 0);
await nc.close();
