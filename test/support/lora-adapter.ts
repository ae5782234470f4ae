/** Adapters made for tests as PEFT writes them, and models they are merged into, W + scale · B · A, by plain loops in f64. Shares no code with the reader. */
import { readdirSync, readFileSync } from "node:fs";
import type { TensorDtype } from "../../src/backends/backend.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import { fileMap } from "../../src/weights/source.ts";
import { type GoldenSet, goldenFolder } from "./golden.ts";
import { randomSource } from "./random.ts";
import { type TensorToWrite, writeSafetensors } from "./safetensors-writer.ts";
import { type Files, json } from "./text-model.ts";

export type Tensors = Record<string, TensorToWrite>;

export interface AdapterOptions {
	/** The ends of the names of the modules it changes. */
	readonly modules: readonly string[];
	readonly rank: number;
	readonly alpha: number;
	readonly seed: number;
	readonly dtype?: TensorDtype;
	/** Further fields of adapter_config.json. */
	readonly config?: Readonly<Record<string, unknown>>;
	/** Ranks of modules, by the ends of their names, that have another. */
	readonly ranks?: Readonly<Record<string, number>>;
}

export interface TestAdapter {
	readonly config: Readonly<Record<string, unknown>>;
	readonly tensors: Tensors;
	readonly files: Files;
}

export const ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"];
export const MLP = ["gate_proj", "up_proj", "down_proj"];
export const FUSED = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"];

export function makeAdapter(
	base: Tensors,
	{ modules, rank, alpha, seed, dtype = "f32", ...more }: AdapterOptions,
): TestAdapter {
	const random = randomSource(seed);
	const tensors: Tensors = {};
	for (const [name, { shape }] of Object.entries(base)) {
		const module = name.replace(/\.weight$/, "");
		if (!modules.some((end) => module.endsWith(`.${end}`))) continue;
		const end = module.slice(module.lastIndexOf(".") + 1);
		const r = more.ranks?.[end] ?? rank;
		const [rows, columns] = shape;
		const matrix = (shape: number[], size: number): TensorToWrite => {
			const data = random.vector(shape[0] * shape[1]);
			return { dtype, shape, data: data.map((x) => exact(x * size, dtype)) };
		};
		const at = `base_model.model.${module}`;
		const size = 1 / Math.sqrt(columns);
		tensors[`${at}.lora_A.weight`] = matrix([r, columns], size);
		tensors[`${at}.lora_B.weight`] = matrix(
			[rows, r],
			(0.3 * Math.sqrt(r)) / alpha,
		);
	}
	const config = {
		peft_type: "LORA",
		base_model_name_or_path: "base",
		r: rank,
		lora_alpha: alpha,
		target_modules: modules,
		bias: "none",
		use_dora: false,
		fan_in_fan_out: false,
		modules_to_save: null,
		...(more.ranks ? { rank_pattern: more.ranks } : {}),
		...more.config,
	};
	return { config, tensors, files: adapterFiles(config, tensors) };
}

/** A number near x that the type holds. */
function exact(x: number, dtype: TensorDtype): number {
	if (dtype === "f32") return Math.fround(x);
	if (dtype === "f16") return Math.f16round(x);
	const view = new DataView(new ArrayBuffer(4));
	view.setFloat32(0, x);
	view.setUint16(2, 0);
	return view.getFloat32(0);
}

export function adapterFiles(config: unknown, tensors: Tensors): Files {
	return new Map([
		["adapter_config.json", json(config)],
		["adapter_model.safetensors", writeSafetensors(tensors)],
	]);
}

export const asAdapter = (files: Files, label = "adapter") =>
	fileMap(label, files);

/** W + scaleOf(module, rank) · B · A for every module of the adapter, in f32. */
export function merged(
	base: Tensors,
	adapter: Tensors,
	scaleOf: (module: string, rank: number) => number,
): Tensors {
	const result = { ...base };
	for (const [name, { shape, data }] of Object.entries(base)) {
		const module = name.replace(/\.weight$/, "");
		const a = adapter[`base_model.model.${module}.lora_A.weight`];
		const b = adapter[`base_model.model.${module}.lora_B.weight`];
		if (a === undefined || b === undefined) continue;
		const [rows, columns] = shape;
		const rank = a.shape[0];
		const scale = scaleOf(module, rank);
		const sum = Float32Array.from(data);
		for (let o = 0; o < rows; o++)
			for (let i = 0; i < columns; i++) {
				let product = 0;
				for (let r = 0; r < rank; r++)
					product += b.data[o * rank + r] * a.data[r * columns + i];
				sum[o * columns + i] += scale * product;
			}
		result[name] = { dtype: "f32", shape, data: sum };
	}
	return result;
}

/** Every file of a golden checkpoint but its weights and answers, and its weights. */
export async function goldenModel(
	set: GoldenSet,
	name: string,
): Promise<{ files: Files; tensors: Tensors }> {
	const folder = `${goldenFolder(set)}/${name}`;
	const files: Files = new Map();
	for (const file of readdirSync(folder))
		files.set(file, new Uint8Array(readFileSync(`${folder}/${file}`)));
	const source = await openSafetensors(fileMap(name, files));
	const tensors: Tensors = {};
	for (const { name, dtype, shape } of source.tensors.values()) {
		const bytes = await source.read(name, 0, shape[0]);
		tensors[name] = { dtype, shape, data: toFloat32(bytes, dtype) };
	}
	for (const file of [...files.keys()])
		if (!/^(config|generation_config)\.json$/.test(file)) files.delete(file);
	return { files, tensors };
}

export function withTensors(files: Files, tensors: Tensors): Files {
	return new Map([...files, ["model.safetensors", writeSafetensors(tensors)]]);
}

/** Changes matrices row by row; vectors stay as they are. */
export function eachRow(change: (row: Float32Array) => Float32Array) {
	return (tensors: Tensors): Tensors => {
		const changed = Object.entries(tensors).map(([name, tensor]) => {
			const [rows, columns] = tensor.shape;
			if (columns === undefined) return [name, tensor] as const;
			const data = new Float32Array(tensor.data.length);
			for (let r = 0; r < rows; r++) {
				const row = tensor.data.subarray(r * columns, (r + 1) * columns);
				data.set(change(row), r * columns);
			}
			return [name, { ...tensor, data }] as const;
		});
		return Object.fromEntries(changed);
	};
}
