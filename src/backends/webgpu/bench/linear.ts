/** Linear kernels as a plan would choose them, over copies of their weight. A split one's sums are left for the norm behind it. */
import type { KernelFormat, LinearShape } from "../../kernel-bench.ts";
import type { Abilities } from "../device.ts";
import type {
	Epilogue,
	LinearShape as KernelShape,
} from "../kernels/linear.ts";
import {
	BYTES,
	type MatrixFormat,
	matrixBytes,
	paddedRows,
	stride,
} from "../layout.ts";
import { chooseLinear, type LinearChoice } from "../linear-choice.ts";
import {
	copiesOf,
	dispatchOf,
	inTurn,
	type KernelCase,
	peakOf,
} from "./case.ts";
import type { Room } from "./room.ts";

export interface LinearWork {
	readonly shape: LinearShape;
	readonly format: KernelFormat;
	readonly numTokens: number;
}

/** Steps of more tokens are all one regime of a plan, that of its longest step. */
const MOST_REGIME = 2048;
const LONGEST_STEP = 8192;

const EPILOGUES: Readonly<Record<LinearShape["op"], Epilogue>> = {
	normLinear: "store",
	linearAdd: "add",
	normGatedLinear: "gated",
};

/** null where the device keeps no such weights, or cannot bind them whole. */
export function linearCase(
	{ shape, format, numTokens }: LinearWork,
	abilities: Abilities,
): KernelCase | null {
	if (format === "bf16") return null;
	const { name, rows, columns } = shape;
	const { values, scales } = matrixBytes(format, rows * columns);
	if (values > abilities.bindingBytes) return null;
	const bytes = values + scales;
	return {
		name,
		format,
		numTokens,
		macs: numTokens * rows * columns,
		bytes,
		async open(room) {
			const isNormed = numTokens === 1 && hasNorm(shape);
			const choice = chooseLinear(
				abilities,
				kernelShape(shape, format),
				regimeOf(numTokens),
				isNormed ? 1e-6 : null,
			);
			const shared = activations(room, choice, numTokens, isNormed);
			const copies = Array.from({ length: copiesOf(bytes) }, async () => {
				const matrix = {
					weight: room.noise(values),
					...(scales > 0 ? { scales: room.noise(scales) } : {}),
				};
				const { kernel, grid } = choice;
				const buffers = { ...shared, ...matrix };
				return [await dispatchOf(room, kernel, buffers, grid(numTokens))];
			});
			const encode = inTurn(await Promise.all(copies));
			return { encode, peak: peakOf([choice.kernel]) };
		},
	};
}

/** The output head's rows are gathered, and normed by a kernel of its own. */
const isHead = ({ name }: LinearShape) => name === "lm_head";
/** With one token a layer's linear norms its input itself. */
const hasNorm = (shape: LinearShape) =>
	shape.op !== "linearAdd" && !isHead(shape);

function kernelShape(shape: LinearShape, format: MatrixFormat): KernelShape {
	const { op, rows, columns } = shape;
	return {
		rows,
		columns,
		outputStride: stride(op === "normGatedLinear" ? rows / 2 : rows),
		format,
		storage: format === "f32" ? "f32" : "f16",
		epilogue: isHead(shape) ? "logits" : EPILOGUES[op],
		bias: false,
	};
}

function regimeOf(numTokens: number): number {
	if (numTokens > MOST_REGIME) return Math.max(LONGEST_STEP, numTokens);
	return 2 ** Math.ceil(Math.log2(numTokens));
}

/** Of the sizes the kernel was written for; every output element is taken to be an f32, which is room enough for a half. */
function activations(
	room: Room,
	{ shape, split }: LinearChoice,
	numTokens: number,
	isNormed: boolean,
) {
	const { columns, outputStride, storage } = shape;
	const rows = paddedRows(numTokens);
	const inputBytes = isNormed ? BYTES.f32 : BYTES[storage];
	const outputRows = split ? split.splits * split.rows : rows;
	const input = room.noise(rows * stride(columns) * inputBytes);
	return {
		x: input,
		residual: input,
		normWeight: room.noise(stride(columns) * BYTES.f32),
		output: room.zeros(outputRows * outputStride * BYTES.f32),
	};
}
