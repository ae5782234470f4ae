/** A model's safetensors files, one or many, as one WeightSource. Knows nothing of models: names and shapes are just names and shapes. */
import type {
	TensorDtype,
	TensorInfo,
	WeightSource,
} from "../backends/backend.ts";
import { assert, NanoVllmError } from "../errors.ts";
import {
	type HeaderEntry,
	isRecord,
	isString,
	parseHeader,
	parseHeaderLength,
	runnableDtypes,
	show,
} from "./safetensors-header.ts";
import {
	bytes,
	isInside,
	type ModelFiles,
	type RandomAccessFile,
} from "./source.ts";

const singleName = "model.safetensors";
const indexName = "model.safetensors.index.json";
/** An index has about 100 bytes a tensor; 64 MiB would be 600,000 tensors. */
const maxIndexBytes = 64 * 1024 * 1024;
/** Each shard is an open file. The largest models published have a few hundred. */
const maxShards = 4096;

/** Which files, and what an index promises of them: tensor name → file name. */
interface Layout {
	readonly names: readonly string[];
	readonly weightMap: ReadonlyMap<string, string>;
}

interface Located extends HeaderEntry {
	readonly file: RandomAccessFile;
}

/** Tensors as the files have them, of any dtype: what a quantized checkpoint is made of. A plain model reads `tensors` and meets none of it. */
export interface RawTensors {
	/** Of every tensor, runnable or not. */
	readonly entries: ReadonlyMap<string, HeaderEntry>;
	/** The bytes of rows, as `read` gives them, whatever their dtype; whole bytes a row are the caller's business. */
	readRaw(
		name: string,
		rowStart: number,
		rowEnd: number,
		signal?: AbortSignal,
	): Promise<Uint8Array>;
}

export type SafetensorsSource = WeightSource<TensorDtype> & RawTensors;

/**
 * Opens model.safetensors, else the shards of model.safetensors.index.json, else every *.safetensors in the folder.
 * Reads headers only: memory is bounded by the headers, at most 100 MB each and never more than the file.
 * `read` of a name that is not in `tensors` rejects with the reason: missing_tensor, or unsupported_dtype for dtypes we do not run.
 * @throws model_not_found, invalid_weights, missing_tensor, unsupported_dtype
 */
export async function openSafetensors(
	files: ModelFiles,
): Promise<SafetensorsSource> {
	const { names, weightMap } = await findLayout(files);
	const opened: RandomAccessFile[] = [];
	try {
		const located = new Map<string, Located>();
		for (const name of names) {
			const file = await files.open(name);
			if (file === null) throw missingShard(files, name);
			opened.push(file);
			for (const entry of await readHeader(file))
				addTensor(located, { ...entry, file });
		}
		checkWeightMap(weightMap, located);
		return weightSource(files.label, located, opened);
	} catch (error) {
		await closeAll(opened);
		throw error;
	}
}

async function findLayout(files: ModelFiles): Promise<Layout> {
	const present = await files.list();
	if (present.includes(singleName))
		return { names: [singleName], weightMap: new Map() };
	if (present.includes(indexName)) {
		const text = await files.readText(indexName, maxIndexBytes);
		if (text !== null) return parseIndex(text);
	}
	const names = present.filter((name) => name.endsWith(".safetensors"));
	if (names.length > 0) {
		checkShardCount(files.label, names.length);
		return { names, weightMap: new Map() };
	}
	throw new NanoVllmError(
		"model_not_found",
		`${files.label}: wanted ${singleName}, ${indexName} or other *.safetensors, found ${present.length > 0 ? show(present) : "no files"}. Download the weights into this folder.`,
	);
}

/** @throws invalid_weights */
function parseIndex(text: string): Layout {
	const map = parseWeightMap(text);
	const weightMap = new Map<string, string>();
	for (const [tensor, shard] of Object.entries(map)) {
		if (!isString(shard) || !isInside(shard))
			throw new NanoVllmError(
				"invalid_weights",
				`${indexName}: ${show(tensor)}: wanted the name of a file in the model's folder, got ${show(shard)}. Get the index again from its source.`,
			);
		weightMap.set(tensor, shard);
	}
	const names = [...new Set(weightMap.values())].sort();
	checkShardCount(indexName, names.length);
	return { names, weightMap };
}

function parseWeightMap(text: string): object {
	let index: unknown;
	try {
		index = JSON.parse(text);
	} catch (cause) {
		throw new NanoVllmError(
			"invalid_weights",
			`${indexName}: wanted JSON, got something else (${(cause as Error).message}). The download was cut; delete it and load again.`,
			{ cause },
		);
	}
	if (isRecord(index) && isRecord(index.weight_map)) return index.weight_map;
	throw new NanoVllmError(
		"invalid_weights",
		`${indexName}: wanted {"weight_map": {tensor: file}}, got ${show(index)}. Get the index again from its source.`,
	);
}

function checkShardCount(where: string, count: number): void {
	if (count <= maxShards) return;
	throw new NanoVllmError(
		"invalid_weights",
		`${where}: wanted at most ${maxShards} safetensors files, got ${count}. Merge the shards.`,
	);
}

async function readHeader(file: RandomAccessFile): Promise<HeaderEntry[]> {
	if (file.size < 8)
		throw new NanoVllmError(
			"invalid_weights",
			`${file.name}: wanted at least 8 bytes, file has ${file.size}. The download was cut; delete it and load again.`,
		);
	const first8 = await file.read(0, 8);
	const length = parseHeaderLength(file.name, first8, file.size);
	return parseHeader(file.name, await file.read(8, length), file.size);
}

/** @throws invalid_weights when another file has the name too */
function addTensor(located: Map<string, Located>, entry: Located): void {
	const other = located.get(entry.name);
	if (other !== undefined)
		throw new NanoVllmError(
			"invalid_weights",
			`${entry.file.name}: ${show(entry.name)} is also in ${other.file.name}. A tensor may be in one file only; remove the files that are not part of this model.`,
		);
	located.set(entry.name, entry);
}

/** @throws missing_tensor when a shard lacks what the index promises */
function checkWeightMap(
	weightMap: ReadonlyMap<string, string>,
	located: ReadonlyMap<string, Located>,
): void {
	for (const [tensor, shard] of weightMap) {
		const entry = located.get(tensor);
		if (entry?.file.name === shard) continue;
		const where = entry ? `it is in ${entry.file.name}` : "no file has it";
		throw new NanoVllmError(
			"missing_tensor",
			`${shard}: wanted ${show(tensor)}, as ${indexName} says, but ${where}. Index and shards are of different versions; load all again.`,
		);
	}
}

function missingShard(files: ModelFiles, name: string): NanoVllmError {
	return new NanoVllmError(
		"model_not_found",
		`${files.label}: wanted ${name}, found no such file. The download is incomplete; load again.`,
	);
}

function weightSource(
	label: string,
	located: ReadonlyMap<string, Located>,
	opened: readonly RandomAccessFile[],
): SafetensorsSource {
	const tensors = new Map<string, TensorInfo<TensorDtype>>();
	for (const { name, dtype, shape } of located.values()) {
		const runnable = runnableDtypes.get(dtype);
		if (runnable) tensors.set(name, { name, dtype: runnable, shape });
	}
	let closed = false;
	const locate = (name: string): Located => {
		if (closed)
			throw new NanoVllmError(
				"engine_closed",
				`${label}: wanted ${show(name)}, but the weights are closed.`,
			);
		const entry = located.get(name);
		if (!entry) throw missingTensor(label, name, located.size);
		return entry;
	};
	return {
		tensors,
		entries: located,
		async read(name, rowStart, rowEnd, signal) {
			const entry = locate(name);
			if (!tensors.has(name)) throw unsupported(entry);
			return readRows(entry, rowStart, rowEnd, signal);
		},
		async readRaw(name, rowStart, rowEnd, signal) {
			return readRows(locate(name), rowStart, rowEnd, signal);
		},
		async close() {
			if (closed) return;
			closed = true;
			await closeAll(opened);
		},
	};
}

function readRows(
	{ name, shape, offset, byteLength, file }: Located,
	rowStart: number,
	rowEnd: number,
	signal: AbortSignal | undefined,
): Promise<Uint8Array> {
	const numRows = shape[0] ?? 1;
	assert(
		0 <= rowStart && rowStart <= rowEnd && rowEnd <= numRows,
		`rows ${rowStart} to ${rowEnd} of ${name}, which has ${numRows}`,
	);
	const rowBytes = numRows === 0 ? 0 : byteLength / numRows;
	const length = (rowEnd - rowStart) * rowBytes;
	return file.read(offset + rowStart * rowBytes, length, signal);
}

function missingTensor(
	label: string,
	name: string,
	count: number,
): NanoVllmError {
	return new NanoVllmError(
		"missing_tensor",
		`${label}: wanted tensor ${show(name)}, found it in none of the files (${count} tensors). The weights are of another model or incomplete.`,
	);
}

function unsupported(entry: Located): NanoVllmError {
	return new NanoVllmError(
		"unsupported_dtype",
		`${entry.file.name}: ${show(entry.name)}: wanted ${[...runnableDtypes.keys()].join(", ")}, got ${entry.dtype} (${bytes(entry.byteLength)}). Convert the model to BF16.`,
	);
}

async function closeAll(files: readonly RandomAccessFile[]): Promise<void> {
	await Promise.allSettled(files.map((file) => file.close()));
}
