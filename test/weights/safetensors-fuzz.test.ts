/** Damaged and invented safetensors files: each opens or is a NanoVllmError, and no read asks for more than the file has. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NanoVllmError } from "../../src/errors.ts";
import { bytesPerElement } from "../../src/weights/convert.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import { fileMap, type ModelFiles } from "../../src/weights/source.ts";
import { writeRaw, writeSafetensors } from "../support/safetensors-writer.ts";

/** A folder whose files fail the test when a read reaches past their end. */
function watched(files: Map<string, Uint8Array>): ModelFiles {
	const inner = fileMap("fuzz", files);
	return {
		...inner,
		async open(path) {
			const file = await inner.open(path);
			if (file === null) return null;
			return {
				...file,
				read(offset, length, signal) {
					assert.ok(offset >= 0 && length >= 0, `${offset} ${length}`);
					assert.ok(offset + length <= file.size, "read past the end");
					return file.read(offset, length, signal);
				},
			};
		},
	};
}

/** Opens and, where that succeeds, reads everything. */
async function survives(files: Map<string, Uint8Array>): Promise<void> {
	try {
		const source = await openSafetensors(watched(files));
		for (const { name, shape, dtype } of source.tensors.values()) {
			const rows = await source.read(name, 0, shape[0] ?? 1);
			const elements = shape.reduce((a, b) => a * b, 1);
			assert.equal(rows.length, elements * bytesPerElement[dtype]);
		}
	} catch (error) {
		if (!(error instanceof NanoVllmError)) throw error;
		assert.ok(error.message.length < 2000, "a message of bearable length");
	}
}

const single = (bytes: Uint8Array): Map<string, Uint8Array> =>
	new Map([["model.safetensors", bytes]]);

const valid = writeSafetensors(
	{
		"a.weight": { dtype: "f32", shape: [2, 3], data: new Float32Array(6) },
		"b.weight": { dtype: "bf16", shape: [4], data: new Float32Array(4) },
		"c.bias": { dtype: "f16", shape: [], data: new Float32Array(1) },
	},
	{ format: "pt" },
);

test("bytes changed anywhere", () =>
	fc.assert(
		fc.asyncProperty(
			fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), {
				minLength: 1,
				maxLength: 4,
			}),
			async (changes) => {
				const bytes = valid.slice();
				for (const [at, value] of changes) bytes[at] = value;
				await survives(single(bytes));
			},
		),
		{ numRuns: 1000 },
	));

test("cut at every byte", async () => {
	for (let length = 0; length < valid.length; length++)
		await assert.rejects(
			openSafetensors(watched(single(valid.subarray(0, length)))),
			{ code: "invalid_weights" },
		);
});

test("any bytes at all", () =>
	fc.assert(
		fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), (bytes) =>
			survives(single(bytes)),
		),
	));

test("any header length", () =>
	fc.assert(
		fc.asyncProperty(fc.bigInt(0n, 2n ** 64n - 1n), fc.boolean(), (n, small) =>
			survives(single(writeRaw("{}", 30, small ? n % 40n : n))),
		),
	));

const oddNumber = fc.oneof(
	fc.nat(8),
	fc.constantFrom(-1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 1e300),
);
const oddEntry = fc.record(
	{
		dtype: fc.oneof(
			fc.constantFrom("F32", "F16", "BF16", "U8", "F4", "I64", "X"),
			fc.jsonValue(),
		),
		shape: fc.oneof(fc.array(oddNumber, { maxLength: 4 }), fc.jsonValue()),
		data_offsets: fc.oneof(
			fc.array(oddNumber, { minLength: 2, maxLength: 2 }),
			fc.jsonValue(),
		),
	},
	{ requiredKeys: [] },
);

test("headers that are JSON but odd", () =>
	fc.assert(
		fc.asyncProperty(
			fc.dictionary(
				fc.oneof(fc.string(), fc.constant("__metadata__")),
				fc.oneof({ weight: 4, arbitrary: oddEntry }, fc.jsonValue()),
			),
			fc.nat(16),
			(header, size) =>
				survives(single(writeRaw(JSON.stringify(header), size))),
		),
		{ numRuns: 1000 },
	));

test("indexes that are JSON but odd", () =>
	fc.assert(
		fc.asyncProperty(
			fc.oneof(
				fc.jsonValue(),
				fc.record({
					weight_map: fc.dictionary(
						fc.constantFrom("a.weight", "b.weight", "other", "__proto__"),
						fc.oneof(
							fc.constantFrom("x.safetensors", "../x", "/x", "x\0", "y"),
							fc.jsonValue(),
						),
					),
				}),
			),
			(index) =>
				survives(
					new Map([
						["x.safetensors", valid],
						[
							"model.safetensors.index.json",
							new TextEncoder().encode(JSON.stringify(index)),
						],
					]),
				),
		),
		{ numRuns: 500 },
	));
