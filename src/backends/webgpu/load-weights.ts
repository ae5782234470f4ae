/** Brings a program's weights onto the GPU as layout.ts says: raw chunks go up, a kernel converts and places them there. */
import { NanoVllmError } from "../../errors.ts";
import { toFloat32 } from "../../weights/convert.ts";
import { storedBytes } from "../../weights/ggml-blocks.ts";
import type { CompileOptions, WeightSource } from "../backend.ts";
import { type Program, type Weight, weightsOf } from "../program.ts";
import { CHUNK_BYTES, readWeight } from "../read-weight.ts";
import { type Gpu, MAP_MODE, USAGE } from "./device.ts";
import { bindGroupOf, type KernelCompiler } from "./kernel.ts";
import {
	PACK_HEADER_WORDS,
	packGrid,
	packWeight,
	type RawDtype,
} from "./kernels/pack-weight.ts";
import {
	type MatrixFormat,
	matrixBytes,
	paddedRows,
	stride,
	TILE_ROWS,
} from "./layout.ts";
import {
	placedRows,
	placeOfRow,
	type RowLayout,
	rowLayouts,
} from "./row-layout.ts";
import { createUploader, type Uploader } from "./upload.ts";

/** Rows [rowStart, rowStart + rows) of a matrix, as they lie on the device: one binding can show so much and no more. */
export interface MatrixSlice {
	readonly rowStart: number;
	readonly rows: number;
	readonly values: GPUBuffer;
	/** Of quantized formats. */
	readonly scales: GPUBuffer | null;
}

export interface DeviceMatrix {
	readonly weight: Weight;
	readonly format: MatrixFormat;
	readonly layout: RowLayout;
	readonly slices: readonly MatrixSlice[];
}

export interface DeviceWeights {
	readonly matrices: ReadonlyMap<string, DeviceMatrix>;
	/** f32 [stride(length)], placed as row-layout.ts says */
	readonly vectors: ReadonlyMap<string, GPUBuffer>;
	readonly bytes: number;
	destroy(): void;
}

/** Slices begin at multiples of so many rows: their part of an output then begins where a binding may. */
const SLICE_ROWS = 2 * TILE_ROWS;

type FormatOf = (weight: Weight) => MatrixFormat;

/** @throws missing_tensor, shape_mismatch, nan_weights, unsupported_dtype, out_of_memory */
export async function loadWeights(
	gpu: Gpu,
	compile: KernelCompiler,
	program: Program,
	source: WeightSource,
	formatOf: FormatOf,
	options: CompileOptions,
): Promise<DeviceWeights> {
	const weights = weightsOf(program);
	const layouts = rowLayouts(program);
	const layoutOf = ({ name }: Weight) => layouts.get(name) as RowLayout;
	const buffers: GPUBuffer[] = [];
	const create = (label: string, size: number): GPUBuffer => {
		const usage = USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC;
		const buffer = gpu.device.createBuffer({ label, size, usage });
		buffers.push(buffer);
		return buffer;
	};
	const destroy = () => {
		for (const buffer of buffers) buffer.destroy();
	};
	const matrices = new Map<string, DeviceMatrix>();
	const vectors = new Map<string, GPUBuffer>();
	try {
		await gpu.guarded("the weights", () => {
			for (const weight of weights) {
				const { name, shape } = weight;
				const layout = layoutOf(weight);
				if (shape.length === 1)
					vectors.set(name, create(name, 4 * stride(placedRows(layout))));
				else {
					const format = formatOf(weight);
					const slices = slicesOf(gpu, weight, layout, format, create);
					matrices.set(name, { weight, format, layout, slices });
				}
			}
		});
		const bytes = buffers.reduce((sum, { size }) => sum + size, 0);
		const report = progress(weights, options);
		for (const weight of weights) {
			const buffer = vectors.get(weight.name);
			if (buffer === undefined) continue;
			await fillVector(gpu, buffer, weight, layoutOf(weight), source, options);
			report(weight.shape[0]);
		}
		await fillMatrices(gpu, compile, matrices, source, options, report);
		return { matrices, vectors, bytes, destroy };
	} catch (error) {
		destroy();
		throw error;
	}
}

function progress(
	weights: readonly Weight[],
	{ onProgress }: CompileOptions,
): (elements: number) => void {
	const elements = (weight: Weight) =>
		weight.shape.reduce((product, n) => product * n, 1);
	const total = weights.reduce((sum, w) => sum + elements(w), 0);
	let loaded = 0;
	return (count) => {
		loaded += count;
		onProgress?.(2 * loaded, 2 * total);
	};
}

/** A slice of experts has whole ones. */
function slicesOf(
	{ abilities }: Gpu,
	{ name, shape: [, columns] }: Weight,
	layout: RowLayout,
	format: MatrixFormat,
	create: (label: string, size: number) => GPUBuffer,
): MatrixSlice[] {
	const numRows = placedRows(layout);
	const isStack = layout.count > 1;
	const together = isStack ? layout.pitch : SLICE_ROWS;
	const tile = matrixBytes(format, together * stride(columns));
	const rowsAtMost =
		Math.floor(abilities.bindingBytes / tile.values) * together;
	if (rowsAtMost === 0)
		throw new NanoVllmError(
			"out_of_memory",
			`weight ${name}: ${isStack ? "one expert's " : ""}${together} rows of ${columns} columns take ${tile.values} bytes, this GPU binds at most ${abilities.bindingBytes}. Use device "cpu".`,
		);
	const slices: MatrixSlice[] = [];
	for (let rowStart = 0; rowStart < numRows; rowStart += rowsAtMost) {
		const rows = Math.min(rowsAtMost, numRows - rowStart);
		const size = matrixBytes(format, paddedRows(rows) * stride(columns));
		slices.push({
			rowStart,
			rows,
			values: create(name, size.values),
			scales: size.scales === 0 ? null : create(`${name} scales`, size.scales),
		});
	}
	return slices;
}

async function fillVector(
	{ device }: Gpu,
	buffer: GPUBuffer,
	weight: Weight,
	layout: RowLayout,
	source: WeightSource,
	{ signal }: CompileOptions,
): Promise<void> {
	const placed = new Float32Array(placedRows(layout));
	await readWeight(source, weight, signal, (bytes, dtype, offset) => {
		toFloat32(bytes, dtype).forEach((value, i) => {
			placed[placeOfRow(layout, offset + i)] = value;
		});
	});
	device.queue.writeBuffer(buffer, 0, placed);
}

async function fillMatrices(
	gpu: Gpu,
	compile: KernelCompiler,
	matrices: ReadonlyMap<string, DeviceMatrix>,
	source: WeightSource,
	{ signal }: CompileOptions,
	report: (elements: number) => void,
): Promise<void> {
	const { device } = gpu;
	const widest = Math.max(
		...Array.from(matrices.values(), ({ weight }) => 4 * weight.shape[1]),
	);
	const headerBytes = 4 * PACK_HEADER_WORDS;
	const overflow = device.createBuffer({
		label: "overflow",
		size: 16,
		usage: USAGE.STORAGE | USAGE.COPY_SRC,
	});
	const noScales = device.createBuffer({ size: 16, usage: USAGE.STORAGE });
	const uploader = createUploader(
		gpu,
		headerBytes + Math.max(CHUNK_BYTES, widest) + 4,
	);
	try {
		for (const [number, matrix] of [...matrices.values()].entries()) {
			const { weight, format } = matrix;
			const columns = weight.shape[1];
			const isQuantized = format === "q8_0" || format === "q4_0";
			await readWeight(
				source,
				weight,
				signal,
				async (bytes, dtype, offset) => {
					const numRows = bytes.length / storedBytes(dtype, columns);
					const chunk = { bytes, dtype, offset, numRows, number };
					const shared = { overflow, noScales };
					await packChunk(gpu, compile, uploader, matrix, chunk, shared);
					report(numRows * columns);
				},
				isQuantized ? format : undefined,
			);
		}
		const last = await readWord(gpu, overflow);
		if (last > 0)
			throw outOfRange([...matrices.values()][last - 1].weight.name);
	} finally {
		await uploader.close();
		overflow.destroy();
		noScales.destroy();
	}
}

interface Chunk {
	readonly bytes: Uint8Array;
	readonly dtype: RawDtype;
	readonly offset: number;
	readonly numRows: number;
	readonly number: number;
}

async function packChunk(
	{ device }: Gpu,
	compile: KernelCompiler,
	uploader: Uploader,
	{ weight, format, layout, slices }: DeviceMatrix,
	{ bytes, dtype, offset, numRows, number }: Chunk,
	{ overflow, noScales }: { overflow: GPUBuffer; noScales: GPUBuffer },
): Promise<void> {
	const columns = weight.shape[1];
	const options = { from: dtype, format, columns, layout };
	const kernel = await compile(packWeight(options));
	const firstRow = offset / columns;
	for (const { rowStart, rows: sliceRows, values, scales } of slices) {
		const header = new Uint32Array(PACK_HEADER_WORDS);
		header.set([firstRow, numRows, rowStart, sliceRows, number]);
		await uploader.send(header, bytes, (encoder, raw) => {
			const buffers = [raw, values, scales ?? noScales, overflow];
			const pass = encoder.beginComputePass();
			pass.setPipeline(kernel.pipeline);
			pass.setBindGroup(0, bindGroupOf(device, kernel, buffers));
			pass.dispatchWorkgroups(...packGrid(columns, numRows));
			pass.end();
		});
	}
}

async function readWord({ device }: Gpu, buffer: GPUBuffer): Promise<number> {
	const staging = device.createBuffer({
		size: 16,
		usage: USAGE.MAP_READ | USAGE.COPY_DST,
	});
	const encoder = device.createCommandEncoder();
	encoder.copyBufferToBuffer(buffer, 0, staging, 0, 16);
	device.queue.submit([encoder.finish()]);
	await staging.mapAsync(MAP_MODE.READ);
	const [word] = new Uint32Array(staging.getMappedRange());
	staging.destroy();
	return word;
}

function outOfRange(name: string): NanoVllmError {
	return new NanoVllmError(
		"unsupported_dtype",
		`weight ${name} holds numbers above 65,504, the largest of f16, in which this device keeps them. Load with dtype "f32".`,
	);
}
