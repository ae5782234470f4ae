/** GGUF headers: every value type, tensors' places, windows, parts of split models, and what is refused with which words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NanoVllmError } from "../../src/errors.ts";
import { openGguf } from "../../src/weights/gguf.ts";
import { MAX_HEADER_BYTES } from "../../src/weights/gguf-cursor.ts";
import {
	findGguf,
	ggufParts,
	splitGgufPath,
} from "../../src/weights/gguf-files.ts";
import { readGgufHeader } from "../../src/weights/gguf-header.ts";
import { fileMap, type RandomAccessFile } from "../../src/weights/source.ts";
import { gguf, string, strings, tensor, u32 } from "../support/gguf-files.ts";

/** A file that counts what is read of it; `size` may lie. */
function counted(bytes: Uint8Array, size = bytes.length) {
	const reads: [offset: number, length: number][] = [];
	const file: RandomAccessFile = {
		name: "m.gguf",
		size,
		async read(offset, length) {
			assert.ok(offset + length <= size, "inside the file");
			reads.push([offset, length]);
			const out = new Uint8Array(length);
			out.set(bytes.subarray(offset, offset + length));
			return out;
		},
		async close() {},
	};
	return { file, reads };
}

const open = (bytes: Uint8Array, size?: number) =>
	readGgufHeader(counted(bytes, size).file);

const floats = (...shape: number[]) =>
	new Uint8Array(4 * shape.reduce((a, b) => a * b, 1));

const raw = (type: number, ...values: [number, bigint | number][]) => {
	const bytes = values.flatMap(([size, value]) =>
		Array.from({ length: size }, (_, i) =>
			Number((BigInt.asUintN(64, BigInt(value)) >> BigInt(8 * i)) & 255n),
		),
	);
	return { type, bytes: Uint8Array.from(bytes) };
};

test("every type of value, alone and in lists", async () => {
	const { metadata } = await open(
		gguf({
			u8: raw(0, [1, 200]),
			i8: raw(1, [1, -3]),
			u16: raw(2, [2, 65_535]),
			i16: raw(3, [2, -2]),
			u32: u32(4_000_000_000),
			i32: raw(5, [4, -7]),
			f32: { f32: 1.5 },
			yes: { bool: true },
			no: { bool: false },
			text: string("zß水\u{1f600}\ufeff"),
			u64: raw(10, [8, 2n ** 40n]),
			i64: raw(11, [8, -5n]),
			f64: { type: 12, bytes: new Uint8Array(Float64Array.of(0.1).buffer) },
			words: strings(["", "a", "b c"]),
			i32s: { i32s: Int32Array.of(-1, 2) },
			f32s: { f32s: Float32Array.of(0.5, 2) },
			// [[1], []] of u8
			nested: raw(9, [4, 9], [8, 2], [4, 0], [8, 1], [1, 1], [4, 0], [8, 0]),
			bools: raw(9, [4, 7], [8, 3], [1, 1], [1, 0], [1, 1]),
		}),
	);
	const numbers = {
		u8: 200,
		i8: -3,
		u16: 65_535,
		i16: -2,
		u32: 4_000_000_000,
		i32: -7,
		f32: 1.5,
		u64: 2 ** 40,
		i64: -5,
		f64: 0.1,
	};
	for (const [key, value] of Object.entries(numbers))
		assert.equal(metadata.number(key), value, key);
	assert.equal(metadata.boolean("yes"), true);
	assert.equal(metadata.boolean("no"), false);
	assert.equal(metadata.string("text"), "zß水\u{1f600}\ufeff");
	assert.deepEqual(metadata.strings("words"), ["", "a", "b c"]);
	assert.deepEqual(metadata.numbers("i32s"), [-1, 2]);
	assert.deepEqual(metadata.numbers("f32s"), [0.5, 2]);
	assert.deepEqual(metadata.numbers("bools"), [1, 0, 1]);
	assert.equal(metadata.has("nested"), true);
	assert.equal(metadata.number("absent"), undefined);
	const wrong = (read: () => unknown, pattern: RegExp) =>
		assert.throws(read, (error) => {
			assert.ok(error instanceof NanoVllmError);
			assert.equal(error.code, "invalid_model_config");
			assert.match(error.message, pattern);
			return true;
		});
	wrong(() => metadata.number("text"), /"text": wanted a number, got "zß/);
	wrong(() => metadata.strings("i32s"), /a list of strings, got a list of 2/);
	wrong(() => metadata.string("u64"), /a string, got 1099511627776/);
	wrong(() => metadata.needNumber("absent"), /a number, got nothing/);
});

test("tensors: dimensions turned round, places from the data's start, in both versions and any alignment", async () => {
	for (const version of [2, 3])
		for (const alignment of [8, 32, 256]) {
			const bytes = gguf(
				{ "general.alignment": u32(alignment) },
				[
					tensor("a", "f32", [3, 5], floats(3, 5)),
					tensor("b", "q8_0", [2, 4, 64], new Uint8Array(2 * 4 * 2 * 34)),
					tensor("c", "f16", [7], new Uint8Array(14)),
					tensor("d", "iq2_xxs", [1, 256], new Uint8Array(66)),
				],
				{ version, alignment },
			);
			const { tensors } = await open(bytes);
			const [a, b, c, d] = tensors;
			assert.deepEqual(a.shape, [3, 5]);
			assert.deepEqual(b.shape, [2, 4, 64]);
			assert.deepEqual([b.dtype, b.type, b.byteLength], ["q8_0", "q8_0", 544]);
			assert.deepEqual([d.dtype, d.type], [null, "iq2_xxs"]);
			for (const { offset } of tensors) assert.equal(offset % alignment, 0);
			const up = (n: number) => Math.ceil(n / alignment) * alignment;
			assert.equal(b.offset - a.offset, up(60));
			assert.equal(c.offset - b.offset, up(544));
			assert.equal(d.offset + up(66), bytes.length);
		}
});

test("long headers are read in windows that double, each byte once", async () => {
	const words = Array.from({ length: 400_000 }, (_, i) => `token ${i}`);
	const bytes = gguf({ words: strings(words) }, [
		tensor("a", "f32", [1 << 20], floats(1 << 20)),
	]);
	const { file, reads } = counted(bytes);
	const { metadata } = await readGgufHeader(file);
	assert.deepEqual(metadata.strings("words"), words);
	let end = 0;
	for (const [offset, length] of reads) {
		assert.equal(offset, end);
		end += length;
	}
	assert.ok(reads.length >= 4 && reads.length < 8, `${reads.length} reads`);
	assert.ok(end < bytes.length, "tensors are not read");
});

const base = () =>
	gguf({ key: string("value") }, [
		tensor("a", "q4_0", [2, 32], new Uint8Array(36)),
		tensor("b", "f32", [4], floats(4)),
	]);

/** `base` with some bytes changed. */
function changed(at: number, ...values: number[]): Uint8Array {
	const bytes = base();
	bytes.set(values, at);
	return bytes;
}

const find = (bytes: Uint8Array, text: string): number =>
	Buffer.from(bytes).indexOf(text);

async function refused(
	bytes: Uint8Array,
	code: string,
	pattern: RegExp,
	size?: number,
): Promise<void> {
	await assert.rejects(open(bytes, size), (error) => {
		assert.ok(error instanceof NanoVllmError, String(error));
		assert.equal(error.code, code, error.message);
		assert.match(error.message, /^m\.gguf: /);
		assert.match(error.message, pattern);
		return true;
	});
}

test("versions and byte orders that are not read", async () => {
	const version = (...bytes: number[]) => changed(4, ...bytes);
	const code = "unsupported_model";
	await refused(version(1, 0, 0, 0), code, /got version 1\. Convert/);
	await refused(version(4, 0, 0, 0), code, /got version 4\. It is newer/);
	await refused(version(0, 0, 0, 3), code, /got version 3\. It is big endian/);
	await refused(changed(0, 71, 71, 77, 76), "invalid_weights", /"GGUF"/);
});

test("claims that cannot be", async () => {
	const at = find(base(), "key");
	const a = find(base(), "a\u0002") + 1; // rank, dimensions, type, offset
	const huge = [255, 255, 255, 255, 255, 255, 255, 127];
	const cases: [Uint8Array, RegExp][] = [
		[changed(8, ...huge), /tensors at 8 is 9,223,372/],
		[changed(8, 0, 0, 0, 0, 0, 1, 0, 0), /1,099,511,627,776 tensors at/],
		[changed(16, 0, 0, 1), /65,536 metadata entries/],
		[changed(at - 8, 0, 1), /256 bytes of a string/],
		[changed(at + 3, 13), /value type of 0 to 12 .* got 13/],
		[changed(a, 5), /at most 4 dimensions/],
		[changed(a + 4, 31), /whole q4_0 blocks of 32, got 31/],
		[changed(a + 12, ...huge), /dimension 1 of "a"/],
		[changed(a + 12, 0, 0, 0, 0, 0, 0, 1), /wanted .* bytes at/],
		[changed(a + 18, 16), /more than can be counted/],
		[changed(a + 24, 1), /multiple of 32, got 1/],
		[changed(a + 24, 0, 1), /wanted 36 bytes at/],
		[changed(a + 24, 32), /begins at .* inside "a"/],
		[changed(find(base(), "b\u0001"), 97), /tensor "a" is there twice/],
	];
	for (const [bytes, pattern] of cases)
		await refused(bytes, "invalid_weights", pattern);
	const twice = gguf({ aaa: u32(1), bbb: u32(2) });
	twice.set([97, 97, 97], find(twice, "bbb"));
	await refused(twice, "invalid_weights", /"aaa" is there twice/);
	for (const value of [0, 3, 48])
		await refused(
			gguf({ "general.alignment": u32(value) }),
			"invalid_weights",
			/alignment: wanted a power of two/,
		);
	const nesting = Array.from({ length: 9 }, (): [number, bigint][] => [
		[4, 9n],
		[8, 1n],
	]).flat();
	const deep = gguf({ x: raw(9, ...nesting, [4, 0], [8, 0]) });
	await refused(deep, "invalid_weights", /nested deeper than 8/);
});

test("cut anywhere, the header is refused, and nothing larger than the file is asked for", async () => {
	const bytes = base();
	const dataEnd = bytes.length - 16; // the last tensor's padding may be missing
	for (let length = 0; length < dataEnd; length++)
		await refused(bytes.slice(0, length), "invalid_weights", /file has/);
	await open(bytes.slice(0, dataEnd));
});

test("a header beyond all belief is not read, however large the file claims to be", async () => {
	const bytes = changed(find(base(), "key") - 8, 0, 0, 0, 0, 1);
	await refused(
		bytes,
		"invalid_weights",
		new RegExp(`header of at most ${MAX_HEADER_BYTES.toLocaleString("en")}`),
		2 ** 45,
	);
});

test("a type with an unknown number is a tensor all the same", async () => {
	const bytes = base();
	bytes.set([99], find(bytes, "b\u0001") + 13);
	const { tensors } = await open(bytes);
	assert.deepEqual(
		[tensors[1].dtype, tensors[1].type, tensors[1].byteLength],
		[null, "type 99", 0],
	);
});

test("names: paths, URLs, folders, parts", () => {
	const cases: [string, string | null, string?][] = [
		["m.gguf", ".", "m.gguf"],
		["/a/b.c/m.gguf", "/a/b.c/", "m.gguf"],
		["C:\\models\\m.gguf", "C:\\models\\", "m.gguf"],
		["https://h/x/m%20n.gguf?t=1#f", "https://h/x/?t=1", "m n.gguf"],
		["https://h/x/100%.gguf", "https://h/x/", "100%.gguf"],
		["https://h/x?file=m.gguf", null],
		["folder", null],
		[".gguf", null],
	];
	for (const [path, folder, name] of cases) {
		const want = folder === null ? null : { folder, name };
		assert.deepEqual(splitGgufPath(path), want, path);
	}
	assert.equal(findGguf("d", ["a.txt", "m.gguf"]), "m.gguf");
	assert.equal(findGguf("d", ["a.txt"]), undefined);
	const parts = ggufParts("x-00002-of-00003.gguf");
	assert.deepEqual(parts, [
		"x-00001-of-00003.gguf",
		"x-00002-of-00003.gguf",
		"x-00003-of-00003.gguf",
	]);
	assert.equal(findGguf("d", parts), parts[0]);
	assert.throws(() => findGguf("d", ["a.gguf", "b.gguf"]), {
		code: "model_not_found",
		message: /found 2: \["a.gguf","b.gguf"\]\. Give the path/,
	});
	for (const name of ["x-00001-of-00000.gguf", "x-00001-of-99999.gguf"])
		assert.throws(() => ggufParts(name), { code: "invalid_weights" });
});

const HEAD = {
	"general.architecture": string("qwen3"),
	"qwen3.block_count": u32(1),
	"qwen3.context_length": u32(8),
	"qwen3.embedding_length": u32(8),
	"qwen3.feed_forward_length": u32(8),
	"qwen3.attention.head_count": u32(2),
	"qwen3.attention.layer_norm_rms_epsilon": { f32: 1e-6 },
};

function part(number: number, count: number, name: string, total = count) {
	const split = {
		"split.no": u32(number),
		"split.count": u32(count),
		"split.tensors.count": u32(total),
	};
	return gguf(number === 0 ? { ...HEAD, ...split } : split, [
		tensor(name, "f32", [2, 2], floats(2, 2)),
	]);
}

test("split models: all parts make one source, and must be of one model", async () => {
	const [first, second] = ggufParts("x-00001-of-00002.gguf");
	const folder = (...files: [string, Uint8Array][]) =>
		fileMap("d", new Map(files));
	const good = folder(
		[first, part(0, 2, "token_embd.weight")],
		[second, part(1, 2, "output.weight")],
	);
	for (const name of [first, second]) {
		const model = await openGguf(good, name);
		assert.deepEqual(
			[...model.weights.tensors.keys()],
			["model.embed_tokens.weight", "lm_head.weight"],
		);
		assert.equal((await model.weights.read("lm_head.weight", 1, 2)).length, 8);
		await model.close();
		await model.close();
		await assert.rejects(model.weights.read("lm_head.weight", 0, 1), {
			code: "engine_closed",
		});
	}
	const bad: [[string, Uint8Array][], string, RegExp][] = [
		[[[first, part(0, 2, "a")]], "model_not_found", /00002.* put all parts/],
		[
			[
				[first, part(0, 2, "a")],
				[second, part(0, 2, "b")],
			],
			"invalid_weights",
			/wanted part 2 of 2.* say part 1 of 2/,
		],
		[
			[
				[first, part(0, 2, "a", 3)],
				[second, part(1, 2, "b", 3)],
			],
			"missing_tensor",
			/wanted 3 tensors in all parts, found 2/,
		],
		[
			[
				[first, part(0, 2, "a")],
				[second, part(1, 2, "a")],
			],
			"invalid_weights",
			/"a" is in another part too/,
		],
		[[["x.gguf", part(0, 2, "a")]], "invalid_weights", /say part 1 of 2/],
	];
	for (const [files, code, message] of bad)
		await assert.rejects(openGguf(folder(...files), files[0][0]), {
			code,
			message,
		});
});
