/** Reading safetensors: round trips, shards, and every way a file can lie. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { WeightSource } from "../../src/backends/backend.ts";
import { NanoVllmError } from "../../src/errors.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import { fileMap, type ModelFiles } from "../../src/weights/source.ts";
import { writeRaw, writeSafetensors } from "../support/safetensors-writer.ts";

type Content = Uint8Array | Blob | string;

function folder(files: Readonly<Record<string, Content>>): ModelFiles {
	const entries = Object.entries(files).map(
		([name, content]) =>
			[
				name,
				typeof content === "string"
					? new TextEncoder().encode(content)
					: content,
			] as const,
	);
	return fileMap("test-model", new Map(entries));
}

function openSingle(content: Content): Promise<WeightSource> {
	return openSafetensors(folder({ "model.safetensors": content }));
}

const ramp = (length: number): Float32Array =>
	Float32Array.from({ length }, (_, i) => i - length / 2);

test("what was written is read, in every dtype, whole and by rows", async () => {
	const data = ramp(7 * 6);
	for (const dtype of ["f32", "f16", "bf16"] as const) {
		const bytes = writeSafetensors({
			a: { dtype: "bf16", shape: [3], data: ramp(3) },
			m: { dtype, shape: [7, 2, 3], data },
		});
		for (const content of [bytes, new Blob([bytes]), Buffer.from(bytes)]) {
			const source = await openSingle(content);
			assert.deepEqual(source.tensors.get("m"), {
				name: "m",
				dtype,
				shape: [7, 2, 3],
			});
			assert.deepEqual([...source.tensors.keys()].sort(), ["a", "m"]);
			for (const [start, end] of [
				[0, 7],
				[2, 5],
				[6, 7],
				[3, 3],
			] as const) {
				const rows = await source.read("m", start, end);
				assert.deepEqual(
					toFloat32(rows, dtype),
					data.slice(start * 6, end * 6),
				);
			}
			await source.close();
		}
	}
});

test("the caller may keep and change what it read", async () => {
	const bytes = writeSafetensors({
		a: { dtype: "f32", shape: [2], data: Float32Array.of(1, 2) },
	});
	const source = await openSingle(bytes);
	(await source.read("a", 0, 2)).fill(255);
	assert.deepEqual(
		toFloat32(await source.read("a", 0, 2), "f32"),
		Float32Array.of(1, 2),
	);
});

test("scalars, empty tensors, no tensors, padding and metadata are right", async () => {
	const source = await openSingle(
		writeSafetensors(
			{
				scalar: { dtype: "f32", shape: [], data: Float32Array.of(5) },
				empty: { dtype: "f32", shape: [0, 4], data: new Float32Array() },
				flat: { dtype: "f32", shape: [4, 0], data: new Float32Array() },
			},
			{ format: "pt" },
		),
	);
	const scalar = await source.read("scalar", 0, 1);
	assert.deepEqual([...toFloat32(scalar, "f32")], [5]);
	assert.equal((await source.read("empty", 0, 0)).length, 0);
	assert.equal((await source.read("flat", 1, 4)).length, 0);
	assert.equal((await openSingle(writeRaw("{}"))).tensors.size, 0);
	assert.equal((await openSingle(writeRaw("{}      "))).tensors.size, 0);
});

test("a tensor may be called __proto__", async () => {
	const header =
		'{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}';
	const source = await openSingle(writeRaw(header, 4));
	assert.equal((await source.read("__proto__", 0, 1)).length, 4);
});

test("dtypes we do not run are an error only when read", async () => {
	const header = {
		ids: { dtype: "I64", shape: [1], data_offsets: [0, 8] },
		w: { dtype: "F8_E4M3", shape: [4], data_offsets: [8, 12] },
		f4: { dtype: "F4", shape: [2, 1], data_offsets: [12, 13] },
		ok: { dtype: "BF16", shape: [1], data_offsets: [13, 15] },
	};
	const source = await openSingle(writeRaw(JSON.stringify(header), 15));
	assert.deepEqual([...source.tensors.keys()], ["ok"]);
	assert.equal((await source.read("ok", 0, 1)).length, 2);
	for (const name of ["ids", "w", "f4"])
		await assert.rejects(source.read(name, 0, 1), {
			code: "unsupported_dtype",
			message: /wanted F32, F16, BF16, got (I64|F8_E4M3|F4)/,
		});
});

test("an unknown name is a missing tensor, a closed source says so", async () => {
	const source = await openSingle(writeRaw("{}"));
	await assert.rejects(source.read("lm_head.weight", 0, 1), {
		code: "missing_tensor",
		message: /"lm_head.weight"/,
	});
	await source.close();
	await source.close();
	await assert.rejects(source.read("x", 0, 1), { code: "engine_closed" });
});

test("an aborted read rejects", async () => {
	const bytes = writeSafetensors({
		a: { dtype: "f32", shape: [1], data: Float32Array.of(1) },
	});
	const source = await openSingle(bytes);
	await assert.rejects(source.read("a", 0, 1, AbortSignal.abort()), {
		code: "aborted",
	});
});

const shard1 = writeSafetensors({
	a: { dtype: "f32", shape: [2, 1], data: Float32Array.of(1, 2) },
});
const shard2 = writeSafetensors({
	b: { dtype: "f32", shape: [1], data: Float32Array.of(3) },
	c: { dtype: "f32", shape: [1], data: Float32Array.of(4) },
});
const indexName = "model.safetensors.index.json";
const indexOf = (weightMap: unknown): string =>
	JSON.stringify({
		metadata: { total_size: 16 },
		weight_map: weightMap,
	});

async function readAll(files: ModelFiles): Promise<Record<string, number[]>> {
	const source = await openSafetensors(files);
	const out: Record<string, number[]> = {};
	for (const { name, shape, dtype } of source.tensors.values())
		out[name] = [
			...toFloat32(await source.read(name, 0, shape[0] ?? 1), dtype),
		];
	return out;
}

test("shards are one source, by index or by being there", async () => {
	const shards = { "m-1.safetensors": shard1, "m-2.safetensors": shard2 };
	const wanted = { a: [1, 2], b: [3], c: [4] };
	// A tensor that the index forgets is still there.
	const index = indexOf({ a: "m-1.safetensors", b: "m-2.safetensors" });
	assert.deepEqual(
		await readAll(folder({ ...shards, [indexName]: index })),
		wanted,
	);
	assert.deepEqual(await readAll(folder(shards)), wanted);
});

test("model.safetensors is taken before all others", async () => {
	const files = folder({
		"model.safetensors": shard1,
		"consolidated.safetensors": shard1,
		[indexName]: "not even JSON",
	});
	assert.deepEqual(await readAll(files), { a: [1, 2] });
});

test("a folder of shards that disagree is refused with a reason", async (t) => {
	const cases: readonly {
		name: string;
		files: Record<string, Content>;
		code: string;
		message: RegExp;
	}[] = [
		{
			name: "no weights at all",
			files: { "config.json": "{}" },
			code: "model_not_found",
			message: /wanted model\.safetensors.*found \["config\.json"\]/,
		},
		{
			name: "shard missing",
			files: { [indexName]: indexOf({ a: "x.safetensors" }) },
			code: "model_not_found",
			message: /wanted x\.safetensors, found no such file/,
		},
		{
			name: "tensor in two shards",
			files: { "1.safetensors": shard1, "2.safetensors": shard1 },
			code: "invalid_weights",
			message: /2\.safetensors: "a" is also in 1\.safetensors/,
		},
		{
			name: "tensor promised, in no shard",
			files: {
				"1.safetensors": shard1,
				[indexName]: indexOf({ a: "1.safetensors", z: "1.safetensors" }),
			},
			code: "missing_tensor",
			message: /1\.safetensors: wanted "z".*no file has it/,
		},
		{
			name: "tensor promised, in another shard",
			files: {
				"1.safetensors": shard1,
				"2.safetensors": shard2,
				[indexName]: indexOf({ a: "2.safetensors", b: "1.safetensors" }),
			},
			code: "missing_tensor",
			message: /wanted "a".*it is in 1\.safetensors/,
		},
		...["../x.safetensors", "/etc/passwd", "a/../../b", "C:\\x", "", "."].map(
			(path) => ({
				name: `shard at ${JSON.stringify(path)}`,
				files: { [indexName]: indexOf({ a: path }) },
				code: "invalid_weights",
				message: /"a": wanted the name of a file in the model's folder/,
			}),
		),
		...[
			["index is not JSON", "{"],
			["index is an array", "[]"],
			["index is null", "null"],
			["index has no weight_map", "{}"],
			["weight_map is an array", indexOf(["a"])],
			["shard is a number", indexOf({ a: 1 })],
		].map(([name, index]) => ({
			name,
			files: { [indexName]: index },
			code: "invalid_weights",
			message: /index\.json: .*wanted/,
		})),
		{
			name: "index is not text",
			files: { [indexName]: Uint8Array.of(0xff, 0xfe) },
			code: "invalid_model_config",
			message: /wanted UTF-8/,
		},
	];
	for (const { name, files, code, message } of cases)
		await t.test(name, () =>
			assert.rejects(openSafetensors(folder(files)), { code, message }),
		);
});

test("files opened before an error are closed", async () => {
	let open = 0;
	const inner = folder({ "1.safetensors": shard1, "2.safetensors": shard1 });
	const counting: ModelFiles = {
		...inner,
		async open(path) {
			const file = await inner.open(path);
			if (file === null) return null;
			open++;
			return { ...file, close: async () => void open-- };
		},
	};
	await assert.rejects(openSafetensors(counting), NanoVllmError);
	assert.equal(open, 0);
});

const good = { dtype: "F32", shape: [1], data_offsets: [0, 4] };

/** A header of one tensor "t" with some fields replaced, and `size` bytes of data. */
const one = (fields: object, size = 4): Uint8Array =>
	writeRaw(JSON.stringify({ t: { ...good, ...fields } }), size);

const two = (first: number[], second: number[], size: number): Uint8Array => {
	const entry = ([begin, end]: number[]) => ({
		dtype: "U8",
		shape: [end - begin],
		data_offsets: [begin, end],
	});
	const header = { a: entry(first), b: entry(second) };
	return writeRaw(JSON.stringify(header), size);
};

const malformed: readonly [
	name: string,
	bytes: Uint8Array,
	message: RegExp,
	code?: string,
][] = [
	["empty file", new Uint8Array(0), /wanted at least 8 bytes, file has 0/],
	["seven bytes", new Uint8Array(7), /wanted at least 8 bytes, file has 7/],
	[
		"header longer than the file",
		writeRaw("{}", 0, 1_203_437n),
		/header wants 1,203,437 bytes, file has 10\. The download was cut/,
	],
	[
		"header one byte longer than the file",
		writeRaw("{}", 0, 3n),
		/header wants 3 bytes, file has 10/,
	],
	[
		"header over the limit",
		writeRaw("{}", 0, 100_000_001n),
		/header wants 100,000,001 bytes, the format allows 100,000,000/,
	],
	[
		"header of 2^64 - 1 bytes",
		writeRaw("{}", 0, 2n ** 64n - 1n),
		/header wants 18,446,744,073,709,551,615 bytes/,
	],
	["no header", writeRaw(""), /wanted a header that begins with \{/],
	["leading space", writeRaw(" {}"), /begins with \{/],
	["byte order mark", writeRaw("\ufeff{}"), /begins with \{/],
	["header an array", writeRaw("[]"), /begins with \{/],
	["header cut", writeRaw('{"t":'), /not JSON/],
	["more after the object", writeRaw("{}{}"), /not JSON/],
	["zero padding", writeRaw("{}\0"), /not JSON/],
	[
		"not UTF-8",
		writeRaw(Buffer.from('{"__metadata__":{"größe":"1"}}', "latin1")),
		/not JSON in UTF-8/,
	],
	["nested too deep", writeRaw(`{"a":${"[".repeat(1e5)}`), /not JSON/],
	[
		"value too deep to print",
		writeRaw(`{"a":${"[".repeat(1e5)}${"]".repeat(1e5)}}`),
		/wanted \{dtype, shape, data_offsets\}/,
	],
	[
		"metadata a string",
		writeRaw('{"__metadata__":"pt"}'),
		/__metadata__: wanted an object of strings/,
	],
	[
		"metadata of numbers",
		writeRaw('{"__metadata__":{"format":1}}'),
		/__metadata__: wanted an object of strings/,
	],
	["metadata null", writeRaw('{"__metadata__":null}'), /__metadata__/],
	["tensor null", writeRaw('{"t":null}'), /wanted \{dtype, shape/],
	["tensor an array", writeRaw('{"t":[]}'), /wanted \{dtype, shape/],
	[
		"no dtype",
		one({ dtype: undefined }),
		/dtype: wanted a string, got nothing/,
	],
	["dtype a number", one({ dtype: 32 }), /dtype: wanted a string, got 32/],
	[
		"dtype unknown",
		one({ dtype: "Q4_0" }),
		/wanted a dtype among .*got "Q4_0"/,
		"unsupported_dtype",
	],
	["dtype in lower case", one({ dtype: "f32" }), /"f32"/, "unsupported_dtype"],
	["no shape", one({ shape: undefined }), /shape: wanted whole numbers/],
	["shape a number", one({ shape: 1 }), /shape: wanted whole numbers/],
	["shape negative", one({ shape: [-1] }), /shape: wanted whole numbers/],
	["shape a fraction", one({ shape: [1.5] }), /shape: wanted whole numbers/],
	["shape of strings", one({ shape: ["1"] }), /shape: wanted whole numbers/],
	["shape of null", one({ shape: [null] }), /shape: wanted whole numbers/],
	["shape of 2^53", one({ shape: [2 ** 53] }), /shape: wanted whole numbers/],
	[
		"shape's product over 2^53",
		one({ shape: [2 ** 30, 2 ** 30] }),
		/more than can be counted/,
	],
	[
		"shape's product over 2^53, then zero",
		one({ shape: [2 ** 30, 2 ** 30, 0] }),
		/more than can be counted/,
	],
	[
		"part of a byte",
		one({ dtype: "F4", shape: [3], data_offsets: [0, 1] }, 1),
		/12 bits, which is no whole number of bytes/,
	],
	["no offsets", one({ data_offsets: undefined }), /data_offsets: wanted/],
	["one offset", one({ data_offsets: [0] }), /data_offsets: wanted/],
	["three offsets", one({ data_offsets: [0, 4, 8] }), /data_offsets: wanted/],
	["offsets turned", one({ data_offsets: [4, 0] }), /begin ≤ end/],
	["offset negative", one({ data_offsets: [-4, 0] }), /data_offsets: wanted/],
	["offset a fraction", one({ data_offsets: [0, 4.5] }), /data_offsets/],
	["offset 1e300", one({ data_offsets: [0, 1e300] }), /data_offsets/],
	[
		"span too long for the shape",
		one({ data_offsets: [0, 8] }, 8),
		/F32 \[1\] wants 4 bytes, data_offsets give 8/,
	],
	[
		"span too short for the shape",
		one({ shape: [2] }),
		/F32 \[2\] wants 8 bytes, data_offsets give 4/,
	],
	[
		"data cut",
		one({}, 3),
		/"t": wants 4 bytes at \d+, file has \d+ bytes\. The download was cut/,
	],
	[
		"data far beyond the file",
		one({ shape: [2 ** 40], data_offsets: [0, 2 ** 42] }),
		/wants 4,398,046,511,104 bytes/,
	],
	["hole at the start", two([1, 2], [2, 4], 4), /"a": wanted to begin at/],
	[
		"hole between",
		two([0, 1], [2, 4], 4),
		/"b": wanted to begin at .* "a" ends/,
	],
	["overlap", two([0, 3], [2, 4], 4), /"b": wanted to begin at/],
	["the same bytes twice", two([0, 4], [0, 4], 4), /"b": wanted to begin at/],
	["empty tensor inside another", two([0, 4], [2, 2], 4), /"b": wanted to/],
	["bytes after the last", two([0, 2], [2, 4], 5), /tensors end at/],
	["data without tensors", writeRaw("{}", 1), /tensors end at/],
	[
		"a name twice",
		writeRaw(
			`{"t":${JSON.stringify(good)},"t":{"dtype":"U8","shape":[1],"data_offsets":[4,5]}}`,
			5,
		),
		/wanted to begin at/,
	],
];

test("a malformed file is refused with a reason", async (t) => {
	for (const [name, bytes, message, code = "invalid_weights"] of malformed)
		await t.test(name, () =>
			assert.rejects(openSingle(bytes), (error) => {
				assert.ok(error instanceof NanoVllmError, String(error));
				assert.equal(error.code, code);
				assert.match(error.message, message);
				assert.match(error.message, /^model\.safetensors: /);
				assert.ok(error.message.length < 600);
				return true;
			}),
		);
});

test("empty tensors between others break no law", async () => {
	for (const bytes of [
		two([0, 4], [4, 4], 4),
		two([0, 4], [0, 0], 4),
		two([0, 0], [0, 0], 0),
	])
		await openSingle(bytes);
});
