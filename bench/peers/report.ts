/** The figures of a comparison as a table for people, as JSON, and as a lasting record in bench/results. */
import { appendFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import {
	type Case,
	type Measure,
	median,
	type Shape,
	type Speeds,
} from "./measures.ts";

type Side = "ours" | "theirs";

export interface CaseResult {
	readonly case: Case;
	readonly shapes: readonly Shape[];
	readonly measures: readonly Measure[];
	/** [round][shape] */
	readonly runs: Readonly<Record<Side, readonly (readonly Speeds[])[]>>;
	readonly engines: Readonly<Partial<Record<Side, EngineFacts>>>;
}

interface EngineFacts {
	readonly about: string;
	readonly loadMs: number;
	readonly peakRssBytes: number;
}

/** One line of the table; figures are tokens per second, a median over the rounds. */
interface Row {
	readonly measure: string;
	readonly ours: number | null;
	readonly theirs: number | null;
	/** Median of the rounds' ratios. */
	readonly ratio: number | null;
	readonly goal: number | null;
	readonly rounds: Readonly<Record<Side, readonly number[]>>;
}

function rowsOf(result: CaseResult): Row[] {
	const { case: one, shapes, measures } = result;
	const rows = measures.flatMap((measure) => {
		const at = shapes.findIndex(
			(s) => s.batchSize > 1 === (measure === "streams"),
		);
		const row = (
			label: string,
			goal: number | null,
			of: (speeds: Speeds) => number | null,
		) =>
			rowOf(`${label}, ${labelOf(one)}`, goal, result, (round) =>
				of(round[at]),
			);
		const goal = one.goals[measure];
		switch (measure) {
			case "prefill":
				return [row("prefill", goal, (s) => s.prefill)];
			case "decode":
				return [row("decode, 1 stream", goal, (s) => s.decode)];
			case "streams": {
				const label = `${shapes[at].batchSize} streams`;
				return [
					row(label, goal, (s) => s.decode),
					row(`${label} with their prompts`, null, (s) => s.output),
				];
			}
			default:
				return measure satisfies never;
		}
	});
	return rows;
}

const labelOf = ({ ours, theirs }: Case) =>
	ours === theirs ? ours : `${ours} (theirs ${theirs})`;

function rowOf(
	measure: string,
	goal: number | null,
	{ runs }: CaseResult,
	of: (round: readonly Speeds[]) => number | null,
): Row {
	const figures = (side: Side) =>
		runs[side].map(of).filter((value) => value !== null);
	const rounds = { ours: figures("ours"), theirs: figures("theirs") };
	const ratios = rounds.ours
		.slice(0, rounds.theirs.length)
		.map((ours, i) => ours / rounds.theirs[i]);
	const middle = (list: readonly number[]) =>
		list.length > 0 ? median(list) : null;
	return {
		measure,
		ours: middle(rounds.ours),
		theirs: middle(rounds.theirs),
		ratio: middle(ratios),
		goal,
		rounds,
	};
}

/** Markdown, aligned so that it can be read as text. */
export function tableOf(
	results: readonly CaseResult[],
	threads: number,
): string {
	const cell = (value: number | null, digits: number, unit = "") =>
		value === null ? "–" : `${unit}${value.toFixed(digits)}`;
	const head = [
		`tokens/s, ${threads} ${threads === 1 ? "thread" : "threads"}`,
		"nano-vllm",
		"llama.cpp",
		"ratio",
		"goal",
		"",
	];
	const rows = results
		.flatMap(rowsOf)
		.map((row) => [
			row.measure,
			cell(row.ours, 1),
			cell(row.theirs, 1),
			cell(row.ratio, 2, "× "),
			cell(row.goal, 1, "≥ "),
			row.goal === null || row.ratio === null
				? ""
				: row.ratio >= row.goal
					? "met"
					: "not met",
		]);
	const widths = head.map((title, i) =>
		Math.max(title.length, 3, ...rows.map((row) => row[i].length)),
	);
	const line = (cells: readonly string[]) =>
		`| ${cells.map((text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]))).join(" | ")} |`;
	const rule = widths.map((width, i) =>
		i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`,
	);
	return [line(head), line(rule), ...rows.map(line)].join("\n");
}

export type Figures = ReturnType<typeof resultsOf>;

export function resultsOf(
	results: readonly CaseResult[],
	run: {
		readonly threads: number;
		readonly numRounds: number;
		readonly model: string;
	},
) {
	return {
		date: today(),
		machine: { cpu: cpus()[0].model.trim(), cores: availableParallelism() },
		runtime: `node ${process.version}`,
		...run,
		cases: results.map((result) => ({
			name: result.case.name,
			formats: { ours: result.case.ours, theirs: result.case.theirs },
			shapes: result.shapes,
			engines: result.engines,
			rows: rowsOf(result),
		})),
	};
}

/** Of this place, as bench/results names its files. */
function today(): string {
	const now = new Date();
	const two = (value: number) => String(value).padStart(2, "0");
	return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

/** Writes bench/results/DATE-cpu-peers.json and adds the table to the README beside it. */
export function record(figures: Figures, table: string): void {
	const directory = join(import.meta.dirname, "..", "results");
	const name = `${figures.date}-cpu-peers.json`;
	writeFileSync(join(directory, name), `${JSON.stringify(figures, null, 2)}\n`);
	const { machine, runtime, threads, numRounds, cases } = figures;
	const peer = cases.find((one) => one.engines.theirs)?.engines.theirs?.about;
	const text = `
## ${figures.date}: the CPU backend beside llama.cpp

\`node bench/peers/run.ts --threads ${threads} --rounds ${numRounds}\` on ${machine.cpu}, ${machine.cores} cores, ${runtime.replace("node v", "Node ")}; ${figures.model}, random weights; medians of ${numRounds} rounds in turn. [JSON](${name})
${peer === undefined ? "" : `llama.cpp's build: ${peer}\n`}
${table}
`;
	appendFileSync(join(directory, "README.md"), text);
}
