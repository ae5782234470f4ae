/**
 * A PEFT LoRA adapter → the matrices of a model's targets (Hu et al. 2021), in f32. Knows targets by name and shape, no model and no
 * device.
 */
import type {
	AdapterWeights,
	LowRank,
	TensorDtype,
	TensorInfo,
} from "../backends/backend.ts";
import type { AdapterTarget } from "../backends/program.ts";
import { NanoVllmError } from "../errors.ts";
import { findNonFinite, MAX_HALF, toFloat32 } from "./convert.ts";
import {
	invalidAdapter,
	type LoraConfig,
	unsupportedAdapter,
} from "./lora-config.ts";
import { openSafetensors, type SafetensorsSource } from "./safetensors.ts";
import { show } from "./safetensors-header.ts";
import type { ModelFiles } from "./source.ts";

export const ADAPTER_CONFIG = "adapter_config.json";
export const ADAPTER_TENSORS = "adapter_model.safetensors";

/** What a model has room for. */
export interface AdapterRoom {
	readonly targets: readonly AdapterTarget[];
	readonly maxRank: number;
}

type Info = TensorInfo<TensorDtype>;

/** Of one module. */
interface Pair {
	a?: Info;
	b?: Info;
}

const NAME =
	/^(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight$/;

/** @throws adapter_not_found, invalid_adapter, unsupported_adapter, nan_weights, and others of a safetensors file */
export async function readLora(
	files: ModelFiles,
	config: LoraConfig,
	room: AdapterRoom,
	signal?: AbortSignal,
): Promise<AdapterWeights> {
	const source = await openTensors(files);
	try {
		const pairs = pairsIn(source, room);
		const targets = new Map<string, LowRank>();
		let rank = 0;
		for (const [target, pair] of pairs) {
			const matrices = await readPair(source, target, pair, config, signal);
			rank = Math.max(rank, matrices.rank);
			targets.set(target.name, matrices);
		}
		return { rank, targets };
	} finally {
		await source.close();
	}
}

/** The one file of the folder that counts: a training run leaves others beside it. */
async function openTensors(files: ModelFiles): Promise<SafetensorsSource> {
	const file = await files.open(ADAPTER_TENSORS);
	if (file === null)
		throw new NanoVllmError(
			"adapter_not_found",
			`${files.label} has no ${ADAPTER_TENSORS}. Save the adapter with PEFT's save_pretrained, which writes safetensors.`,
		);
	await file.close();
	return openSafetensors({ ...files, list: async () => [ADAPTER_TENSORS] });
}

/** Every tensor's place, its shape and rank checked. */
function pairsIn(
	source: SafetensorsSource,
	{ targets, maxRank }: AdapterRoom,
): Map<AdapterTarget, Pair> {
	const byName = new Map(targets.map((it) => [plainName(it.name), it]));
	const pairs = new Map<AdapterTarget, Pair>();
	for (const name of source.entries.keys()) {
		const [, module, which] = NAME.exec(name) ?? [];
		const target = byName.get(plainName(module ?? ""));
		if (target === undefined) throw strange(name, module, targets);
		const info = source.tensors.get(name);
		if (info === undefined)
			throw invalidAdapter(`${name}: wanted a tensor of f32, f16 or bf16`);
		const pair = pairs.get(target) ?? {};
		pairs.set(
			target,
			which === "A" ? { ...pair, a: info } : { ...pair, b: info },
		);
	}
	if (pairs.size === 0) throw invalidAdapter("the adapter holds no tensor");
	for (const [target, pair] of pairs) checkPair(target, pair, maxRank);
	return pairs;
}

/** Classes that wrap a language model put their own word before or behind "model". */
function plainName(module: string): string {
	return module
		.replace(/\blanguage_model\./, "")
		.replace(/^model\.(?=model\.)/, "");
}

function strange(
	name: string,
	module: string | undefined,
	targets: readonly AdapterTarget[],
): NanoVllmError {
	if (/lora_magnitude_vector/.test(name)) return unsupportedAdapter("DoRA");
	if (/\bexperts?\b/.test(name))
		return unsupportedAdapter(`matrices of experts (${name})`);
	if (/embed|lm_head/.test(name))
		return unsupportedAdapter(`embeddings or output head (${name})`);
	if (module === undefined)
		return unsupportedAdapter(
			`tensors that are no low-rank matrices (${name})`,
		);
	const known = targets.slice(0, 8).map((target) => target.name);
	return invalidAdapter(
		`${name}: the model has no matrix ${module}. It has ${known.join(", ")} and so on; the adapter was made for another model`,
	);
}

function checkPair(
	{ name, rows, columns }: AdapterTarget,
	{ a, b }: Pair,
	maxRank: number,
): void {
	if (a === undefined || b === undefined)
		throw invalidAdapter(
			`${name} has lora_${a ? "A" : "B"} and no lora_${a ? "B" : "A"}`,
		);
	const rank = a.shape[0];
	const fits =
		a.shape.length === 2 &&
		b.shape.length === 2 &&
		a.shape[1] === columns &&
		b.shape[0] === rows &&
		b.shape[1] === rank;
	if (!fits)
		throw new NanoVllmError(
			"shape_mismatch",
			`${name}: wanted lora_A [r, ${columns}] and lora_B [${rows}, r], got ${show(a.shape)} and ${show(b.shape)}. The adapter was made for another model.`,
		);
	if (rank > maxRank)
		throw new NanoVllmError(
			"invalid_adapter",
			`${name}: the adapter's rank is ${rank}, the engine has room for ${maxRank}. Load the model with maxLoraRank ${rank} or more.`,
		);
}

async function readPair(
	source: SafetensorsSource,
	{ name }: AdapterTarget,
	{ a, b }: Pair,
	config: LoraConfig,
	signal: AbortSignal | undefined,
): Promise<LowRank> {
	if (a === undefined || b === undefined)
		throw new Error("nano-vllm bug: pairs are checked before they are read");
	const [rank] = a.shape;
	const said = config.rankOf(name);
	if (said !== rank)
		throw invalidAdapter(
			`${name}: adapter_config.json says rank ${said}, the tensors have ${rank}`,
		);
	const scale = config.scaleOf(name);
	const scaled = await readMatrix(source, b, signal);
	for (let i = 0; i < scaled.length; i++) scaled[i] *= scale;
	const plain = await readMatrix(source, a, signal);
	checkRange(`${name}: lora_A`, plain);
	checkRange(`${name}: lora_B times its scale`, scaled);
	return { rank, a: plain, b: scaled };
}

/** Some devices keep adapters as halves; none loads what others cannot. */
function checkRange(what: string, values: Float32Array): void {
	const wrong = values.findIndex((x) => !(Math.abs(x) <= MAX_HALF));
	if (wrong >= 0)
		throw invalidAdapter(
			`${what} has the number ${values[wrong]}; adapters are kept as halves, which end at ${MAX_HALF}`,
		);
}

async function readMatrix(
	source: SafetensorsSource,
	{ name, dtype, shape }: Info,
	signal: AbortSignal | undefined,
): Promise<Float32Array> {
	const bytes = await source.read(name, 0, shape[0], signal);
	const wrong = findNonFinite(bytes, dtype);
	if (wrong !== undefined)
		throw new NanoVllmError(
			"nan_weights",
			`${name}: element ${wrong} is NaN or infinite. The adapter is damaged; download or train it again.`,
		);
	return toFloat32(bytes, dtype);
}
