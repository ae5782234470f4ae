/**
 * The studies of docs/scale.md: tables, a JSON of all rows, and a plot of each in docs/images.
 *   node bench/simulation/studies.ts [--json FILE] [--only scaling,tail,hedging,failures,credit]
 * A few minutes. Everything is seeded: the same code gives the same figures.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { drawLengths } from "./lengths.ts";
import { linePlot, type Series } from "./plot.ts";
import { PROFILES } from "./profiles.ts";
import { DEFAULTS, type Scenario } from "./scenario.ts";
import { type Summary, simulate, table } from "./summary.ts";

const { values } = parseArgs({
	options: {
		json: { type: "string" },
		only: { type: "string", default: "scaling,tail,hedging,failures,credit" },
	},
});
const images = new URL("../../docs/images/", import.meta.url);
mkdirSync(images, { recursive: true });

interface Case {
	readonly label: string;
	readonly rows: readonly Summary[];
}

const { h100, cpu } = PROFILES;
const NUM_WORKERS = [1, 3, 10, 30, 100, 300, 1000];

/**
 * Each worker brings its share of the job: 30 s of work on an H100, 480 s on two cores. No further than to where workers starve: what
 * they get is then the broker's rate, and their many small steps take long to simulate.
 */
function scaling(): Case[] {
	const weak = (
		label: string,
		perWorker: number,
		most: number,
		given: Partial<Scenario>,
	) => ({
		label,
		rows: NUM_WORKERS.filter((count) => count <= most).map((numWorkers) => {
			const requests = drawLengths(perWorker * numWorkers, 0);
			return run({ ...given, requests, numWorkers });
		}),
	});
	const slow = { dispatchSeconds: 0.001 };
	const cases = [
		weak("H100, broker 0.1 ms", 1000, 1000, { dispatchSeconds: 0.0001 }),
		weak("H100, broker 0.3 ms", 1000, 300, { dispatchSeconds: 0.0003 }),
		weak("H100, broker 1 ms", 1000, 100, slow),
		weak("two cores, broker 1 ms", 150, 1000, { profile: cpu, ...slow }),
	];
	const gain = ({ rows }: Case) =>
		rows.map((row) => ({
			x: row.workers,
			y:
				(100 * row.outputTokensPerSecond) /
				(row.workers * rows[0].outputTokensPerSecond),
		}));
	save("scale-workers", {
		title: "Throughput beside that of one worker, times their number",
		xLabel: "workers, each with its share of the job",
		yLabel: "%",
		yMax: 100,
		series: cases.map((it) => ({ label: it.label, points: gain(it) })),
	});
	return cases;
}

/** One job; a tenth of the workers four times slower. */
function tail(): Case[] {
	const requests = drawLengths(60_000, 0);
	const counts = [10, 20, 30, 50, 100];
	const study = (label: string, given: Partial<Scenario>) => ({
		label,
		rows: counts.map((numWorkers) => run({ ...given, requests, numWorkers })),
	});
	const cases = [
		study("all alike, not hedged", { hedgeFactor: null }),
		study("all alike, hedged", {}),
		study("a tenth 4 × slower, hedged", { slowShare: 0.1 }),
		study("a tenth 4 × slower, not hedged", {
			slowShare: 0.1,
			hedgeFactor: null,
		}),
	];
	save("scale-tail", {
		title:
			"60,000 requests on H100s at $2 an hour: price of a million output tokens",
		xLabel: "workers",
		yLabel: "$",
		series: cases.map(({ label, rows }) => ({
			label,
			points: rows.map((row) => ({
				x: row.workers,
				y: row.costPerMillionOutputTokens,
			})),
		})),
	});
	return cases;
}

/** 30 workers that fail, by the mean time between failures of one; the mean of three seeds is in the plot, all are in the JSON. */
function failures(): Case[] {
	const requests = drawLengths(100_000, 0);
	const hours = [0.1, 0.3, 1, 3];
	const seeds = [0, 1, 2];
	const study = (label: string, given: Partial<Scenario>) => ({
		label,
		rows: hours.flatMap((mtbf) =>
			seeds.map((seed) => {
				const failing = { mtbfSeconds: 3600 * mtbf, seed };
				return run({ ...given, ...failing, requests, numWorkers: 30 });
			}),
		),
	});
	const cases = [
		study("ack wait 30 s", { ackWaitSeconds: 30, heartbeatSeconds: 10 }),
		study("ack wait 300 s", { ackWaitSeconds: 300, heartbeatSeconds: 100 }),
		study("ack wait 300 s, not hedged", {
			ackWaitSeconds: 300,
			heartbeatSeconds: 100,
			hedgeFactor: null,
		}),
	];
	const calm = run({ requests, numWorkers: 30 }).makespanSeconds;
	const longer = ({ label, rows }: Case): Series => ({
		label,
		points: hours.map((x, i) => {
			const some = rows.slice(i * seeds.length, (i + 1) * seeds.length);
			const sum = some.reduce((total, row) => total + row.makespanSeconds, 0);
			return { x, y: 100 * (sum / seeds.length / calm - 1) };
		}),
	});
	save("scale-failures", {
		title: "100,000 requests, 30 H100s: how much longer with failures",
		xLabel: "mean hours between failures of a worker",
		yLabel: "%",
		series: cases.map(longer),
	});
	return cases;
}

/** When a request is called late. */
function hedging(): Case[] {
	const requests = drawLengths(60_000, 0);
	return [0, 0.1].map((slowShare) => ({
		label: `50 workers, ${slowShare === 0 ? "all alike" : "a tenth 4 × slower"}; never, after 2, 3, 4, 6 medians`,
		rows: [null, 2, 3, 4, 6].map((hedgeFactor) =>
			run({ requests, numWorkers: 50, slowShare, hedgeFactor }),
		),
	}));
}

/** What asking for more than the engine runs brings, and costs at the end. */
function credit(): Case[] {
	const requests = drawLengths(60_000, 0);
	const latencySeconds = 0.02;
	return [1, 1.25, 2, 8].map((share) => ({
		label: `credit ${share} × max-num-seqs, 20 ms to the broker`,
		rows: [10, 100].map((numWorkers) =>
			run({ requests, numWorkers, credit: share, latencySeconds }),
		),
	}));
}

function run(
	given: Partial<Scenario> & Pick<Scenario, "requests" | "numWorkers">,
): Summary {
	return simulate({ ...DEFAULTS, profile: h100, ...given });
}

function save(name: string, plot: Parameters<typeof linePlot>[0]): void {
	writeFileSync(new URL(`${name}.svg`, images), linePlot(plot));
}

const studies = { scaling, tail, hedging, failures, credit };
const wanted = values.only.split(",");
const results: Record<string, readonly Case[]> = {};
for (const [name, study] of Object.entries(studies)) {
	if (!wanted.includes(name)) continue;
	results[name] = study();
	for (const { label, rows } of results[name])
		console.log(`${name}: ${label}\n${table(rows)}\n`);
}
if (values.json !== undefined)
	writeFileSync(values.json, `${JSON.stringify(results)}\n`);
