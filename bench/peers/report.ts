/** The figures of a comparison as tables for people, as JSON, and as a lasting record in bench/results. */
import { appendFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import type { MatrixResult } from "./matrices.ts";
import {
	type Case,
	ENGINES,
	type EngineName,
	type ModelMeasure,
	median,
	type Shape,
	type Speeds,
	TITLES,
} from "./measures.ts";

export interface CaseResult {
	readonly case: Case;
	readonly shapes: readonly Shape[];
	readonly measures: readonly ModelMeasure[];
	/** [round][shape], of the engines that took part */
	readonly runs: ReadonlyMap<EngineName, readonly (readonly Speeds[])[]>;
	readonly engines: Readonly<Partial<Record<EngineName, EngineFacts>>>;
}

interface EngineFacts {
	readonly about: string;
	readonly loadMs: number;
	readonly peakRssBytes: number;
}

type PerEngine<T> = Readonly<Partial<Record<EngineName, T>>>;

/** One line of the table; figures are tokens per second. */
interface Row {
	readonly measure: string;
	/** Medians over the rounds. */
	readonly speeds: PerEngine<number>;
	/** Ours over theirs: medians of the rounds' ratios. */
	readonly ratios: PerEngine<number>;
	/** Of llama.cpp's ratio. */
	readonly goal: number | null;
	readonly rounds: PerEngine<readonly number[]>;
}

function rowsOf(result: CaseResult): Row[] {
	const { case: one, shapes, measures } = result;
	return measures.flatMap((measure) => {
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
}

/** "bf16 (llama.cpp f16)" */
function labelOf({ formats }: Case): string {
	const others = ENGINES.filter((name) => {
		const format = formats[name];
		return format !== null && format !== formats.ours;
	}).map((name) => `${TITLES[name]} ${formats[name]}`);
	return others.length === 0
		? `${formats.ours}`
		: `${formats.ours} (${others.join(", ")})`;
}

function rowOf(
	measure: string,
	goal: number | null,
	{ runs }: CaseResult,
	of: (round: readonly Speeds[]) => number | null,
): Row {
	const rounds: Partial<Record<EngineName, number[]>> = {};
	const speeds: Partial<Record<EngineName, number>> = {};
	const ratios: Partial<Record<EngineName, number>> = {};
	for (const [name, list] of runs) {
		const figures = list.map(of).filter((value) => value !== null);
		if (figures.length === 0) continue;
		rounds[name] = figures;
		speeds[name] = median(figures);
		if (name !== "ours" && rounds.ours !== undefined)
			ratios[name] = median(
				rounds.ours.map((ours, round) => ours / figures[round]),
			);
	}
	return { measure, speeds, ratios, goal, rounds };
}

export type Figures = ReturnType<typeof resultsOf>;

export function resultsOf(
	results: readonly CaseResult[],
	matrices: readonly MatrixResult[],
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
			formats: result.case.formats,
			shapes: result.shapes,
			engines: result.engines,
			rows: rowsOf(result),
		})),
		/** Billions of floating-point operations per second. */
		matrices,
	};
}

/** Markdown, aligned so that it can be read as text. */
export function tablesOf({ cases, matrices, threads }: Figures): string {
	const unit = `${threads} ${threads === 1 ? "thread" : "threads"}`;
	const tables: string[] = [];
	if (cases.length > 0)
		tables.push(
			tableOf(
				modelHead(`tokens/s, ${unit}`),
				cases.flatMap(({ rows }) => rows).map(modelCells),
			),
		);
	if (matrices.length > 0)
		tables.push(
			tableOf(
				[`GFLOP/s, ${unit}`, TITLES.ours, TITLES.onnx, "ratio"],
				matrices.map(({ shape, format, tokens, ours, onnx, ratio }) => [
					`${shape}, ${format}, ${tokens} ${tokens === 1 ? "token" : "tokens"}`,
					cell(ours),
					cell(onnx),
					times(ratio),
				]),
			),
		);
	return tables.join("\n\n");
}

const modelHead = (title: string) => [
	title,
	TITLES.ours,
	TITLES.llama,
	"ratio",
	"goal",
	"",
	TITLES.onnx,
	"ratio",
];

function modelCells({ measure, speeds, ratios, goal }: Row): string[] {
	const isMet =
		goal === null || ratios.llama === undefined ? null : ratios.llama >= goal;
	return [
		measure,
		cell(speeds.ours),
		cell(speeds.llama),
		times(ratios.llama),
		goal === null ? "–" : `≥ ${goal.toFixed(1)}`,
		isMet === null ? "" : isMet ? "met" : "not met",
		cell(speeds.onnx),
		times(ratios.onnx),
	];
}

const cell = (value: number | undefined) => value?.toFixed(1) ?? "–";
const times = (value: number | undefined) =>
	value === undefined ? "–" : `× ${value.toFixed(2)}`;

export function tableOf(
	head: readonly string[],
	rows: readonly (readonly string[])[],
): string {
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

/** Of this place, as bench/results names its files. */
export function today(): string {
	const now = new Date();
	const two = (value: number) => String(value).padStart(2, "0");
	return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

/** Writes bench/results/DATE-cpu-peers.json and adds the tables to the README beside it. */
export function record(figures: Figures): void {
	const directory = join(import.meta.dirname, "..", "results");
	const name = `${figures.date}-cpu-peers.json`;
	writeFileSync(join(directory, name), `${JSON.stringify(figures, null, 2)}\n`);
	const { machine, runtime, threads, numRounds, cases, model } = figures;
	const peers = (["llama", "onnx"] as const).flatMap((peer) => {
		const about = cases.find((one) => one.engines[peer])?.engines[peer]?.about;
		return about === undefined ? [] : `- ${TITLES[peer]}: ${about}`;
	});
	const text = `
## ${figures.date}: the CPU backend beside llama.cpp and ONNX Runtime

\`node bench/peers/run.ts --threads ${threads} --rounds ${numRounds}\` on ${machine.cpu}, ${machine.cores} cores, ${runtime.replace("node v", "Node ")}; ${model}, random weights; medians of ${numRounds} rounds in turn. [JSON](${name})
${[...peers, "", tablesOf(figures)].join("\n")}
`;
	appendFileSync(join(directory, "README.md"), text);
}
