/** The chosen kernels: right on this device, and of the kind others want. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Abilities, Gpu } from "../../../src/backends/webgpu/device.ts";
import type { LinearShape } from "../../../src/backends/webgpu/kernels/linear.ts";
import { chooseLinear } from "../../../src/backends/webgpu/linear-choice.ts";
import { openTestGpu } from "../../support/webgpu.ts";
import { checkLinear, shapeOf } from "../../support/webgpu-linear.ts";

let gpu: Gpu;
before(async () => {
	gpu = await openTestGpu();
});
after(() => gpu.close());

const H100: Abilities = {
	subgroupSize: 32,
	subgroupMatrix: true,
	maxInvocations: 1024,
	workgroupBytes: 49152,
	bindingBytes: 2 ** 31 - 4,
	storageBuffers: 16,
};
const LEAST: Abilities = {
	subgroupSize: 1,
	subgroupMatrix: false,
	maxInvocations: 256,
	workgroupBytes: 16384,
	bindingBytes: 2 ** 27,
	storageBuffers: 8,
};
const OTHERS = { H100, LEAST, WIDE: { ...LEAST, subgroupSize: 64 } };
const FORMATS = ["f16", "f32", "q8_0", "q4_0"] as const;
const EPILOGUES = ["store", "add", "gated", "logits"] as const;

const base = {
	format: "f16",
	storage: "f16",
	epilogue: "add",
	bias: false,
} as const;

test("few tokens are one pass over the weight, many are matrices where there are any, and tiles elsewhere", () => {
	const shape = shapeOf({ ...base, rows: 1024, columns: 3072 });
	const label = (abilities: Abilities, most: number, given: LinearShape) =>
		chooseLinear(abilities, given, most, null).kernel.label;
	assert.match(label(H100, 8, shape), /^linear_vector/);
	assert.match(label(H100, 16, shape), /^linear_matrix/);
	assert.match(label(LEAST, 16, shape), /^linear_tiles/);
	const full = { ...shape, storage: "f32" } as const;
	assert.match(label(H100, 16, full), /^linear_tiles/);
});

test("an add with few tiles is split, its bias left to whoever adds the parts", () => {
	const shape = shapeOf({ ...base, bias: true, rows: 1024, columns: 3072 });
	for (const abilities of [H100, LEAST]) {
		const choice = chooseLinear(abilities, shape, 16, null);
		assert.ok(choice.split !== null && choice.split.splits > 1);
		assert.deepEqual(
			[choice.shape.epilogue, choice.shape.bias],
			["partial", false],
		);
		assert.equal(choice.grid(16)[2], choice.split.splits);
	}
	const store = { ...shape, epilogue: "store" } as const;
	assert.equal(chooseLinear(LEAST, store, 16, null).split, null);
});

test("every device, shape and count of tokens has a kernel", () => {
	for (const [name, abilities] of Object.entries(OTHERS))
		for (const storage of ["f16", "f32"] as const)
			for (const format of FORMATS)
				for (const epilogue of EPILOGUES)
					for (const most of [1, 2, 4, 7, 8, 16, 300])
						for (const rows of [2, 130, 1024, 4096, 151936])
							for (const columns of [1, 33, 1024, 3072]) {
								const shape = { format, storage, epilogue, rows, columns };
								const choice = chooseLinear(
									abilities,
									shapeOf({ ...shape, bias: false }),
									most,
									null,
								);
								const what = `${name} ${choice.kernel.label}`;
								assert.ok(
									choice.grid(most).every((n) => n >= 1 && n <= 65535),
									what,
								);
							}
});

for (const lanes of ["subgroups", "no subgroups"] as const)
	for (const [most, rows, columns, format] of [
		[1, 2050, 300, "q8_0"],
		[2, 258, 1024, "f16"],
		[8, 6146, 33, "q4_0"],
		[11, 66, 1030, "f16"],
	] as const)
		for (const epilogue of ["add", "gated"] as const)
			test(`${format} ${epilogue} ${rows}x${columns}, ${most} tokens, ${lanes}`, async () => {
				const subgroupSize =
					lanes === "subgroups" ? gpu.abilities.subgroupSize : 1;
				const abilities = { ...gpu.abilities, subgroupSize };
				const shape = shapeOf({ ...base, format, epilogue, rows, columns });
				const choice = chooseLinear(abilities, shape, most, null);
				await checkLinear(gpu, {
					shape: choice.shape,
					kernel: choice.kernel,
					grid: choice.grid(most),
					numTokens: most,
					rtol: 4e-6,
				});
			});
