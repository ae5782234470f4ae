/** Weights inside larger tensors and with a number added, in every type, against plain indexing; and what is wrong with a tensor. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TensorDtype } from "../../src/backends/backend.ts";
import type { TensorView, Weight } from "../../src/backends/program.ts";
import { CHUNK_BYTES, readWeight } from "../../src/backends/read-weight.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { dummyWeights } from "../../src/weights/dummy.ts";

const DTYPES: readonly TensorDtype[] = ["f32", "f16", "bf16"];

/** The whole weight as a backend sees it; reads counts the source's. */
async function read(
	weight: Weight,
	shape: readonly number[],
	dtype: TensorDtype,
) {
	const dummy = dummyWeights([{ name: "stack", shape }], { seed: 5, dtype });
	let reads = 0;
	const source: typeof dummy = {
		...dummy,
		read(...of) {
			reads++;
			return dummy.read(...of);
		},
	};
	const values = new Float32Array(weight.shape.reduce((a, b) => a * b, 1));
	let next = 0;
	await readWeight(source, weight, undefined, (bytes, type, offset) => {
		assert.equal(offset, next, "chunks come in order");
		assert.ok(bytes.length <= CHUNK_BYTES);
		const chunk = toFloat32(bytes, type);
		values.set(chunk, offset);
		next += chunk.length;
	});
	assert.equal(next, values.length);
	const all = toFloat32(await dummy.read("stack", 0, shape[0]), dtype);
	return { values, all, reads };
}

const part = (rows: number, view: TensorView) => ({
	tensor: "stack",
	rows,
	view,
});

test("experts of a transposed stack whose gates and ups alternate", async () => {
	const [E, H, I] = [3, 5, 4];
	const shape = [E, H, 2 * I];
	const view = { shape, transposed: true, step: 2 };
	const weight: Weight = {
		name: "gate_up",
		shape: [E * 2 * I, H],
		parts: [0, 1, 2].flatMap((index) => [
			part(I, { ...view, index, first: 0 }),
			part(I, { ...view, index, first: 1 }),
		]),
	};
	for (const dtype of DTYPES) {
		const { values, all, reads } = await read(weight, shape, dtype);
		for (let e = 0; e < E; e++)
			for (let r = 0; r < 2 * I; r++)
				for (let h = 0; h < H; h++) {
					const column = r < I ? 2 * r : 2 * (r - I) + 1;
					const want = all[(e * H + h) * 2 * I + column];
					assert.equal(values[(e * 2 * I + r) * H + h], want);
				}
		assert.equal(reads, E, "gate and up share one read");
	}
});

test("experts of a stack as it is, and their biases", async () => {
	const [E, H, I] = [4, 3, 7];
	for (const dtype of DTYPES) {
		const plain = { transposed: false, first: 0, step: 1 };
		const down: Weight = {
			name: "down",
			shape: [E * H, I],
			parts: [0, 1, 2, 3].map((index) =>
				part(H, { ...plain, shape: [E, H, I], index }),
			),
		};
		const matrices = await read(down, [E, H, I], dtype);
		assert.deepEqual(matrices.values, matrices.all.slice());
		const odd: Weight = {
			name: "up.bias",
			shape: [E * 3],
			parts: [0, 1, 2, 3].map((index) =>
				part(3, { ...plain, shape: [E, 6], index, first: 1, step: 2 }),
			),
		};
		const { values, all } = await read(odd, [E, 6], dtype);
		const want = Array.from(all).filter((_, i) => i % 2 === 1);
		assert.deepEqual([...values], want);
	}
});

test("rows of one matrix: some, every third, transposed", async () => {
	const shape = [11, 6];
	for (const dtype of DTYPES) {
		const view = { shape, index: null, transposed: false };
		const some = await read(
			{
				name: "w",
				shape: [3, 6],
				parts: [part(3, { ...view, first: 2, step: 3 })],
			},
			shape,
			dtype,
		);
		for (const [i, row] of [2, 5, 8].entries())
			assert.deepEqual(
				some.values.subarray(6 * i, 6 * i + 6),
				some.all.slice(6 * row, 6 * row + 6),
			);
		const turned = await read(
			{
				name: "w",
				shape: [4, 11],
				parts: [part(4, { ...view, transposed: true, first: 1, step: 1 })],
			},
			shape,
			dtype,
		);
		turned.values.forEach((v, i) => {
			const [r, c] = [Math.floor(i / 11), i % 11];
			assert.equal(v, turned.all[c * 6 + 1 + r]);
		});
	}
});

test("a large matrix comes in chunks through its view as well", async () => {
	const shape = [2, 600, 1024];
	const view = { shape, index: 1, transposed: false, first: 0, step: 1 };
	const weight = { name: "w", shape: [600, 1024], parts: [part(600, view)] };
	const { values, all, reads } = await read(weight, shape, "f32");
	assert.deepEqual(values, all.slice(600 * 1024));
	assert.equal(reads, 1, "the expert is kept while its chunks are handed out");
});

test("a vector's `plus` is added in f32, whatever it is stored as", async () => {
	const shape = [9];
	for (const dtype of DTYPES) {
		const parts = [{ tensor: "stack", rows: 9 }];
		const weight = { name: "norm", shape, parts, plus: 1 };
		const { values, all } = await read(weight, shape, dtype);
		assert.deepEqual(
			[...values],
			Array.from(all, (v) => Math.fround(v + 1)),
		);
	}
});

test("a tensor of another shape than its view's is refused", async () => {
	const view = {
		shape: [2, 3, 4],
		index: 1,
		transposed: true,
		first: 0,
		step: 1,
	};
	const weight = { name: "w", shape: [4, 3], parts: [part(4, view)] };
	await assert.rejects(read(weight, [2, 4, 3], "f32"), {
		code: "shape_mismatch",
		message: /wants shape \[2, 3, 4\], the checkpoint has \[2, 4, 3\]/,
	});
});
