/** nano-vllm bench kernels: every kernel of a device alone, beside what the device reads and computes at most. Knows no device. */
import { cpus } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import {
	type Ceilings,
	KERNEL_FORMATS,
	KERNEL_KINDS,
	type KernelBenchOptions,
	type KernelFormat,
	type KernelRow,
	LINEAR_SHAPES,
	linearWork,
} from "../backends/kernel-bench.ts";
import { openKernelBench } from "../choose-device.ts";
import { NanoVllmError } from "../errors.ts";
import { loadPlatform } from "../platform/detect.ts";
import { writeFigures } from "./bench-common.ts";
import { ENGINE_FLAGS } from "./engine-flags.ts";
import { addFlags } from "./flags.ts";
import { figure, grouped } from "./format.ts";
import { note, withInterrupt } from "./terminal.ts";
import { atLeast } from "./values.ts";

const EXAMPLES = `
Sizes are Qwen3-0.6B's. Shares are of what the device itself reads and computes at most in this run; a multiply-add counts two.
Lists are separated by commas. --formats, --shapes and --tokens are of the linear kernels.

Examples:
  nano-vllm bench kernels --only linear --formats q8_0 --tokens 1,16,256
  nano-vllm bench kernels --device cpu --threads 2 --json result.json
`;

const SHAPE_NAMES = LINEAR_SHAPES.map(({ name }) => name);
const DEFAULT_TOKENS = [1, 4, 16, 64, 256];
type Device = "cpu" | "webgpu";
/** What a bf16 checkpoint becomes first. */
const DEFAULT_FORMATS: Readonly<Record<Device, readonly KernelFormat[]>> = {
	cpu: ["bf16", "q8_0", "q4_0", "f32"],
	webgpu: ["f16", "q8_0", "q4_0", "f32"],
};

interface Options extends KernelBenchOptions {
	readonly device: Device;
	readonly json?: string;
}

export function addBenchKernels(bench: Command): void {
	const command = bench
		.command("kernels")
		.description("every kernel of a device alone, beside its limits")
		.addOption(
			new Option("--device <name>", "where to run [cpu, webgpu; default: cpu]")
				.choices(["cpu", "webgpu"])
				.default("cpu"),
		)
		.option(
			"--only <kinds>",
			`some of them [default: ${KERNEL_KINDS.join()}]`,
			listOf(KERNEL_KINDS),
			KERNEL_KINDS,
		)
		.option(
			"--formats <types>",
			`of weights: ${KERNEL_FORMATS.join()} [default: ${DEFAULT_FORMATS.cpu.join()}; webgpu: ${DEFAULT_FORMATS.webgpu.join()}]`,
			listOf(KERNEL_FORMATS),
		)
		.option(
			"--shapes <names>",
			`of matrices [default: ${SHAPE_NAMES.join()}]`,
			listOf(SHAPE_NAMES),
			SHAPE_NAMES,
		)
		.option(
			"--tokens <list>",
			`of a step [default: ${DEFAULT_TOKENS.join()}]`,
			(text) => text.split(",").map(atLeast(1)),
			DEFAULT_TOKENS,
		)
		.option(
			"--sample-ms <n>",
			"length of one sample, of five [default: 100]",
			atLeast(1),
			100,
		)
		.option("--threads <n>", ENGINE_FLAGS.threads.about, atLeast(1))
		.option("--json <file>", "write the figures as one JSON object")
		.addHelpText("after", EXAMPLES)
		.action((options: Options) => {
			const formats = options.formats ?? DEFAULT_FORMATS[options.device];
			return withInterrupt((signal) =>
				benchKernels({ ...options, formats, signal }),
			);
		});
	const { wasmRevectorize } = ENGINE_FLAGS;
	addFlags(command, "Engine options:", { wasmRevectorize });
}

/** "a,b" → the choices of these names. */
const listOf =
	<T extends string>(choices: readonly T[]) =>
	(text: string): readonly T[] =>
		text.split(",").map((name) => {
			const found = choices.find((choice) => choice === name.trim());
			if (found !== undefined) return found;
			throw new InvalidArgumentError(
				`${name} is none of ${choices.join(", ")}.`,
			);
		});

async function benchKernels(options: Options): Promise<void> {
	checkWork(options);
	const { device, threads = null, wasmRevectorize = true } = options;
	const platform = await loadPlatform();
	const measure = await openKernelBench(device, platform);
	const host = `${cpus()[0]?.model.trim() ?? "unknown CPU"}, Node ${process.version}`;
	const rows: KernelRow[] = [];
	let about = "";
	let ceilings: Ceilings | null = null;
	const asked = { ...options, threads, wasmRevectorize };
	for await (const measured of measure(asked))
		switch (measured.kind) {
			case "device":
				about = measured.label;
				note(`${host}\n${about}`);
				break;
			case "ceilings":
				ceilings = measured.ceilings;
				print([...ceilingLines(ceilings), "", HEADER]);
				break;
			case "row":
				rows.push(measured.row);
				print([lineOf(measured.row)]);
				break;
			default:
				measured satisfies never;
		}
	const figures = { device, about, host, ceilings, rows };
	await writeFigures(figures, options.json);
}

/** @throws invalid_option */
function checkWork(options: Options): void {
	if (options.only.some((kind) => kind !== "linear")) return;
	if (linearWork(options).next().done)
		throw new NanoVllmError(
			"invalid_option",
			"--formats, --shapes and --tokens leave nothing to measure: lm_head has no q4_0 and takes at most 64 tokens, the others 4,096. Widen one of them.",
		);
}

const print = (lines: readonly string[]) =>
	process.stdout.write(`${lines.join("\n")}\n`);

function ceilingLines({ bytesPerSecond, peaks }: Ceilings): string[] {
	return [
		`${"memory reads".padEnd(34)} ${giga(bytesPerSecond, 8)} GB/s`,
		...peaks.map(
			({ name, flopsPerSecond }) =>
				`${name.padEnd(34)} ${giga(flopsPerSecond, 8)} GFLOP/s`,
		),
	];
}

const HEADER = `${"kernel".padEnd(30)} ${"type".padEnd(5)} ${"tokens".padStart(6)} ${"µs".padStart(9)} ${"GB/s".padStart(8)} ${"of reads".padStart(8)} ${"GFLOP/s".padStart(8)} ${"of peak".padStart(8)}`;

function lineOf(row: KernelRow): string {
	const cells = [
		row.kernel.padEnd(30),
		row.format.padEnd(5),
		grouped(row.tokens).padStart(6),
		figure(row.us).padStart(9),
		giga(row.bytesPerSecond, 8),
		percent(row.shareOfRead),
		giga(row.flopsPerSecond, 8),
		percent(row.shareOfPeak),
	];
	return cells.join(" ");
}

const giga = (value: number | null, width: number) =>
	(value === null ? "-" : figure(value / 1e9)).padStart(width);

const percent = (share: number | null) =>
	(share === null ? "-" : `${(100 * share).toFixed(0)} %`).padStart(8);
