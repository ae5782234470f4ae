/** nano-vllm inspect: what a model is and whether it fits this machine, from its headers; nothing large is downloaded. */
import type { Command } from "commander";
import { findModel } from "../find-model.ts";
import { remoteFiles } from "../hub/files.ts";
import type { Fit } from "../inspect/fits.ts";
import { type Inspection, inspectModel } from "../inspect/inspect.ts";
import { loadPlatform } from "../platform/detect.ts";
import { grouped, plural, short, size } from "./format.ts";
import { chosenModel } from "./model.ts";
import { printable, withInterrupt } from "./terminal.ts";

const EXAMPLES = `
Examples:
  nano-vllm inspect Qwen/Qwen3-0.6B
  nano-vllm inspect Qwen/Qwen3-0.6B-GGUF:Q8_0
  nano-vllm inspect ./my-model --json
`;

interface Options {
	readonly revision?: string;
	readonly json?: boolean;
}

export function addInspect(program: Command): void {
	program
		.command("inspect [model]")
		.description("tell what a model is and whether it fits this machine")
		.option("--revision <name>", "branch, tag or commit (default: main)")
		.option("--json", "print one JSON object")
		.addHelpText("after", EXAMPLES)
		.action((model: string | undefined, options: Options) =>
			withInterrupt((signal) => inspect(model, options, signal)),
		);
}

async function inspect(
	model: string | undefined,
	{ revision = null, json }: { revision?: string | null; json?: boolean },
	signal: AbortSignal,
): Promise<void> {
	const platform = await loadPlatform();
	const found = await findModel(
		chosenModel(model, undefined),
		{ revision, loadFormat: "auto" },
		platform,
		{ signal, openId: remoteFiles },
	);
	try {
		const facts = await inspectModel(found, platform);
		const text = json ? JSON.stringify(facts, null, 2) : report(facts);
		process.stdout.write(`${printable(text)}\n`);
	} finally {
		await found.gguf?.close();
	}
}

function report(inspection: Inspection): string {
	const { architecture, tensors, weightBytes, kvBytesPerToken } = inspection;
	const { numParameters, numLayers, maxModelLen, experts } = inspection;
	const { memory, gpu } = inspection;
	const rows: [string, string | number | null][] = [
		[
			"architecture",
			listed(
				architecture,
				numParameters && `${short(numParameters)} parameters`,
				numLayers && plural(numLayers, "layer"),
				maxModelLen && `${grouped(maxModelLen)} tokens of context`,
			),
		],
		[
			"experts",
			experts &&
				listed(
					`${grouped(experts.numExperts)}, ${grouped(experts.expertsPerToken)} a token`,
					`${short(experts.numActiveParameters)} parameters a token`,
				),
		],
		["supported", inspection.unsupported ?? "yes"],
		["checkpoint", tensors && checkpoint(tensors)],
		[
			"weights take",
			weightBytes &&
				Object.entries(weightBytes)
					.map(([format, bytes]) => `${format} ${size(bytes)}`)
					.join(" · "),
		],
		[
			"KV cache takes",
			kvBytesPerToken &&
				`${size(kvBytesPerToken * 1000)} per 1,000 tokens (f16)`,
		],
		[
			"memory here",
			memory &&
				`${size(memory.totalBytes)}, ${size(memory.availableBytes)} available`,
		],
		[
			"GPU here",
			gpu
				? `${gpu.name} · buffers up to ${size(gpu.maxBufferBytes)}, bindings up to ${size(gpu.maxBindingBytes)}`
				: "none that WebGPU finds",
		],
		...inspection.fits.map((fit): [string, string] => [
			`on ${fit.device}, ${fit.format}`,
			verdict(fit),
		]),
	];
	const lines = rows.flatMap(([label, value]) =>
		value ? [`  ${label.padEnd(18)}${value}`] : [],
	);
	return [inspection.name, ...lines].join("\n");
}

const listed = (...parts: readonly (string | number | null)[]): string =>
	parts.filter((part) => part).join(" · ");

function checkpoint(tensors: NonNullable<Inspection["tensors"]>): string {
	const groups = Object.entries(tensors);
	const total = groups.reduce((sum, [, { bytes }]) => sum + bytes, 0);
	const parts = groups.map(
		([dtype, { count, bytes }]) =>
			`${plural(count, `${dtype} tensor`)}${groups.length > 1 ? `, ${size(bytes)}` : ""}`,
	);
	return listed(size(total), ...parts);
}

function verdict({ fits, kvTokens, reason }: Fit): string {
	if (fits === null) return `not known: ${reason}`;
	if (!fits) return `does not fit: ${reason}`;
	const room =
		kvTokens === null ? null : `room for ${grouped(kvTokens)} tokens of KV`;
	return listed("fits", room, reason);
}
