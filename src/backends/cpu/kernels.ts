/** The compiled kernels: their names and types, and the build that suits this machine. Addresses are bytes in the shared memory. */
import { NanoVllmError } from "../../errors.ts";

/** One KV head of one sequence, query tokens [start, end): row by row, or many rows through the matrix tiles. */
type Attend = (
	type: number,
	q: number,
	qRowBytes: number,
	group: number,
	headDim: number,
	positions: number,
	start: number,
	end: number,
	blocks: number,
	blockSize: number,
	cache: number,
	blockBytes: number,
	scale: number,
	window: number,
	softCap: number,
	sinks: number,
	out: number,
	outRowBytes: number,
	scratch: number,
) => void;

/** Rows from `source` on into their panels: f32 or the format's own numbers, or the format's own blocks. */
type PackRows = (
	format: number,
	source: number,
	rowBytes: number,
	count: number,
	first: number,
	depth: number,
	w: number,
	panelBytes: number,
	step: number,
) => void;

/** assembly/gating.ts's numbers. */
export const GATING = { silu: 0, gelu_tanh: 1, clamped_swiglu: 2 } as const;

export interface Kernels {
	embed(
		format: number,
		table: number,
		panelBytes: number,
		depth: number,
		ids: number,
		start: number,
		end: number,
		scale: number,
		scratch: number,
		output: number,
		width: number,
	): void;
	prepare_rows(
		format: number,
		x: number,
		width: number,
		rows: number,
		slots: number,
		start: number,
		end: number,
		norm: number,
		eps: number,
		depth: number,
		scratch: number,
		groups: number,
		groupBytes: number,
	): void;
	linear(
		format: number,
		groups: number,
		groupBytes: number,
		numRows: number,
		w: number,
		panelBytes: number,
		start: number,
		end: number,
		depth: number,
		bias: number,
		scale: number,
		y: number,
		columns: number,
		accumulate: number,
		tile: number,
	): void;
	linear_scatter(
		format: number,
		groups: number,
		groupBytes: number,
		numRows: number,
		w: number,
		panelBytes: number,
		start: number,
		end: number,
		depth: number,
		bias: number,
		rows: number,
		factors: number,
		y: number,
		columns: number,
		tile: number,
	): void;
	gated_linear(
		format: number,
		groups: number,
		groupBytes: number,
		numRows: number,
		w: number,
		panelBytes: number,
		start: number,
		end: number,
		depth: number,
		bias: number,
		gating: number,
		limit: number,
		out: number,
		columns: number,
		tile: number,
	): void;
	choose_experts(
		logits: number,
		numExperts: number,
		topK: number,
		normalize: number,
		scale: number,
		start: number,
		end: number,
		ids: number,
		weights: number,
	): void;
	group_by_expert(
		ids: number,
		weights: number,
		numTokens: number,
		topK: number,
		numExperts: number,
		starts: number,
		groupStarts: number,
		next: number,
		tokens: number,
		slots: number,
		factors: number,
	): void;
	rms_norm(x: number, weight: number, n: number, eps: number, to: number): void;
	add_rows(
		x: number,
		width: number,
		start: number,
		end: number,
		norm: number,
		eps: number,
		scale: number,
		y: number,
	): void;
	norm_rows(
		x: number,
		width: number,
		tokens: number,
		start: number,
		end: number,
		norm: number,
		eps: number,
		y: number,
	): void;
	lora_shrink(
		x: number,
		width: number,
		tokens: number,
		count: number,
		a: number,
		ranks: number,
		quadsPerTarget: number,
		first: number,
		end: number,
		small: number,
		smallBytes: number,
	): void;
	lora_expand(
		small: number,
		smallBytes: number,
		tokens: number,
		count: number,
		b: number,
		panelBytes: number,
		rank: number,
		columns: number,
		first: number,
		end: number,
		scale: number,
		y: number,
		yBytes: number,
	): void;
	gate_rows(
		gating: number,
		x: number,
		width: number,
		start: number,
		end: number,
		out: number,
	): void;
	soft_cap(x: number, n: number, cap: number): void;
	norm_rope(
		head: number,
		headDim: number,
		norm: number,
		eps: number,
		cosSin: number,
		numFrequencies: number,
	): void;
	write_cache(type: number, from: number, headDim: number, to: number): void;
	attend: Attend;
	attend_tiles: Attend;
	sample_row(row: number, scratch: number): void;
	pack_rows: PackRows;
	pack_block_rows: PackRows;
	tile(format: number, x: number, w: number, depth: number, out: number): void;
	unpack(
		format: number,
		panel: number,
		depth: number,
		column: number,
		target: number,
	): void;
	set_wide(on: number): void;
	barrier(at: number, count: number): void;
	exp4_test(x: number, n: number, out: number): void;
}

export type KernelBuild =
	| "relaxed-shared"
	| "relaxed-plain"
	| "base-shared"
	| "base-plain";

/**
 * The relaxed build where the engine can run it: the binary itself is the question. `fresh`: not the machine code an earlier
 * compilation left in the engine's cache.
 */
export async function loadKernels(
	shared: boolean,
	options: { relaxed?: boolean; fresh?: boolean } = {},
): Promise<{ build: KernelBuild; module: WebAssembly.Module }> {
	const memory = shared ? "shared" : "plain";
	const compile = async (
		build: KernelBuild,
		bytes: Uint8Array<ArrayBuffer>,
	) => {
		const code = options.fresh ? withCustomSection(bytes) : bytes;
		return { build, module: await WebAssembly.compile(code) };
	};
	if (options.relaxed !== false) {
		const build = `relaxed-${memory}` as const;
		const bytes = await bytesOf(build);
		if (WebAssembly.validate(bytes)) return compile(build, bytes);
	}
	const build = `base-${memory}` as const;
	const bytes = await bytesOf(build);
	if (!WebAssembly.validate(bytes))
		throw new NanoVllmError(
			"device_unavailable",
			'the cpu device needs WebAssembly SIMD, which this engine lacks. Use Node 22 or a browser of 2023 or later, or device "reference".',
		);
	return compile(build, bytes);
}

/** The same module with an empty custom section "x" at its end: other bytes, same code. */
function withCustomSection(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
	const section = [0, 2, 1, "x".charCodeAt(0)];
	const result = new Uint8Array(bytes.length + section.length);
	result.set(bytes);
	result.set(section, bytes.length);
	return result;
}

export function instantiate(
	module: WebAssembly.Module,
	memory: WebAssembly.Memory,
): Kernels {
	const abort = () => {
		throw new Error("nano-vllm bug: a CPU kernel aborted");
	};
	const { exports } = new WebAssembly.Instance(module, {
		env: { memory, abort },
	});
	return exports as unknown as Kernels;
}

async function bytesOf(build: KernelBuild): Promise<Uint8Array<ArrayBuffer>> {
	const { wasmBase64 } = await importBuild(build);
	const text = atob(wasmBase64);
	return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

function importBuild(build: KernelBuild): Promise<{ wasmBase64: string }> {
	switch (build) {
		case "relaxed-shared":
			return import("./kernels/relaxed-shared.ts");
		case "relaxed-plain":
			return import("./kernels/relaxed-plain.ts");
		case "base-shared":
			return import("./kernels/base-shared.ts");
		case "base-plain":
			return import("./kernels/base-plain.ts");
		default:
			return build satisfies never;
	}
}
