/**
 * A batch job over any number of workers, simulated: how long, how full, what is computed twice, what it costs.
 *   node bench/simulation/run.ts [--workers 1,10,100,1000] [--requests 100000] [--profile h100|cpu|FILE.json] [--price 2] [--json FILE]
 *     [--mtbf-hours H] [--slow-share 0.1] [--slow-factor 4] [--no-hedge] [--dispatch-ms 0.3] [--latency-ms 0.5] [--credit 1.25]
 *     [--ack-wait 30] [--heartbeat SECONDS|none] [--restart 20] [--load SECONDS] [--start-spread 0] [--seed 0]
 * Service times are measured ones (profiles.ts); FILE.json holds another engine's (EngineProfile). See docs/scale.md.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { drawLengths } from "./lengths.ts";
import { PROFILES } from "./profiles.ts";
import { DEFAULTS, type Scenario } from "./scenario.ts";
import type { EngineProfile } from "./step-time.ts";
import { simulate, table } from "./summary.ts";

const number = (value: number) =>
	({ type: "string", default: `${value}` }) as const;
const { values } = parseArgs({
	options: {
		workers: { type: "string", default: "1,3,10,30,100,300,1000" },
		requests: number(100_000),
		profile: { type: "string", default: "h100" },
		price: number(DEFAULTS.pricePerWorkerHour),
		"mtbf-hours": number(Infinity),
		"slow-share": number(DEFAULTS.slowShare),
		"slow-factor": number(DEFAULTS.slowFactor),
		"no-hedge": { type: "boolean", default: false },
		"dispatch-ms": number(1000 * DEFAULTS.dispatchSeconds),
		"latency-ms": number(1000 * DEFAULTS.latencySeconds),
		credit: number(DEFAULTS.credit),
		"ack-wait": number(DEFAULTS.ackWaitSeconds),
		heartbeat: { type: "string" },
		restart: number(DEFAULTS.restartSeconds),
		load: { type: "string" },
		"start-spread": number(DEFAULTS.startSpreadSeconds),
		seed: number(DEFAULTS.seed),
		json: { type: "string" },
	},
});

function profileOf(name: string): EngineProfile {
	const found = PROFILES[name] ?? JSON.parse(readFileSync(name, "utf8"));
	const loadSeconds = values.load === undefined ? null : Number(values.load);
	return loadSeconds === null ? found : { ...found, loadSeconds };
}

/** A third of the ack wait, unless told otherwise. */
function heartbeatOf(given: string | undefined): number | null {
	if (given === "none") return null;
	return given === undefined ? Number(values["ack-wait"]) / 3 : Number(given);
}

const profile = profileOf(values.profile);
const seed = Number(values.seed);
const requests = drawLengths(Number(values.requests), seed);
const scenario: Omit<Scenario, "numWorkers"> = {
	seed,
	requests,
	profile,
	credit: Number(values.credit),
	dispatchSeconds: Number(values["dispatch-ms"]) / 1000,
	latencySeconds: Number(values["latency-ms"]) / 1000,
	ackWaitSeconds: Number(values["ack-wait"]),
	heartbeatSeconds: heartbeatOf(values.heartbeat),
	mtbfSeconds: 3600 * Number(values["mtbf-hours"]),
	restartSeconds: Number(values.restart),
	startSpreadSeconds: Number(values["start-spread"]),
	slowShare: Number(values["slow-share"]),
	slowFactor: Number(values["slow-factor"]),
	hedgeFactor: values["no-hedge"] ? null : DEFAULTS.hedgeFactor,
	pricePerWorkerHour: Number(values.price),
};

const counts = values.workers.split(",").map(Number);
const rows = counts.map((numWorkers) => simulate({ ...scenario, numWorkers }));
console.log(table(rows));
if (values.json !== undefined) {
	const options = { ...scenario, requests: requests.length };
	writeFileSync(values.json, `${JSON.stringify({ options, rows }, null, 2)}\n`);
}
