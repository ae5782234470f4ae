/** A model's checkpoint with seeded random weights in bf16, written once: config.json and one model.safetensors as large as the real one. */
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { copyFile, open } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { checkpointTensors } from "../../src/backends/program.ts";
import { buildProgram } from "../../src/models/architectures.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { float32ToBfloat16 } from "../../src/weights/convert.ts";
import { createWords } from "./random-words.ts";

/** Numbers made once; a tensor is slices of them. */
const POOL = 2 ** 22;

/** The folder in `directory`. */
export async function ensureCheckpoint(
	directory: string,
	model: string,
	seed = 0,
): Promise<string> {
	const folder = join(
		directory,
		`${basename(resolve(model))}-bf16-seed${seed}`,
	);
	const path = join(folder, "model.safetensors");
	if (existsSync(path)) return folder;
	mkdirSync(folder, { recursive: true });
	const text = readFileSync(join(model, "config.json"), "utf8");
	await copyFile(join(model, "config.json"), join(folder, "config.json"));
	const program = buildProgram(parseModelConfig(JSON.parse(text)));
	// A run cut short leaves no file under the final name.
	const partial = `${path}.${process.pid}.part`;
	await writeFile(partial, checkpointTensors(program), seed);
	renameSync(partial, path);
	return folder;
}

type Tensors = ReturnType<typeof checkpointTensors>;

async function writeFile(path: string, tensors: Tensors, seed: number) {
	const header: Record<string, unknown> = {};
	const sizes = tensors.map(
		({ shape }) => 2 * shape.reduce((a, b) => a * b, 1),
	);
	let begin = 0;
	for (const [i, { name, shape }] of tensors.entries()) {
		const end = begin + sizes[i];
		header[name] = { dtype: "BF16", shape, data_offsets: [begin, end] };
		begin = end;
	}
	const json = new TextEncoder().encode(JSON.stringify(header));
	const length = new Uint8Array(8);
	new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
	const numbers = createNumbers(seed);
	const file = await open(path, "w");
	try {
		await file.write(length);
		await file.write(json);
		for (const [i, { shape }] of tensors.entries())
			for (const piece of numbers(sizes[i], shape)) await file.write(piece);
	} finally {
		await file.close();
	}
}

/** Matrices of 0 ± √3/√columns, as --load-format dummy has them; vectors of ones. */
function createNumbers(seed: number) {
	const random = createWords(seed);
	const unit = Float32Array.from(
		{ length: POOL },
		() => random() / 2 ** 31 - 1,
	);
	const pools = new Map<number, Uint8Array>();
	const poolOf = (columns: number): Uint8Array => {
		const known = pools.get(columns);
		if (known !== undefined) return known;
		const spread = Math.sqrt(3 / columns);
		const words = float32ToBfloat16(unit.map((x) => x * spread));
		const pool = new Uint8Array(words.buffer);
		pools.set(columns, pool);
		return pool;
	};
	return function* pieces(
		numBytes: number,
		shape: readonly number[],
	): Generator<Uint8Array> {
		if (shape.length === 1) {
			const ones = float32ToBfloat16(new Float32Array(shape[0]).fill(1));
			yield new Uint8Array(ones.buffer);
			return;
		}
		const pool = poolOf(shape[shape.length - 1]);
		for (let done = 0; done < numBytes; done += pool.length)
			yield pool.subarray(0, Math.min(pool.length, numBytes - done));
	};
}
