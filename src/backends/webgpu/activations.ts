/** The activation buffers of a program: one per name, made for a full step, stored as the ops that touch them want. */
import type { Limits } from "../backend.ts";
import type { Activation, Program } from "../program.ts";
import { type Gpu, USAGE } from "./device.ts";
import { BYTES, paddedRows, type Storage, stride } from "./layout.ts";

export interface Activations {
	/** The buffer of a named activation. */
	of(activation: Activation): GPUBuffer;
	/** How it is stored. */
	storageOf(activation: Activation): Storage;
	/** Of the widest residual, in activation storage: what a norm writes for the linear op behind it. */
	readonly normed: GPUBuffer;
	/** A buffer of the plan's own, in f32 elements. */
	scratch(label: string, elements: number): GPUBuffer;
	destroy(): void;
}

/** @throws out_of_memory by way of `gpu.guarded` */
export function createActivations(
	{ device }: Gpu,
	program: Program,
	limits: Limits,
	storage: Storage,
): Activations {
	const rows = paddedRows(limits.maxNumBatchedTokens);
	const residuals = residualNames(program);
	const buffers = new Map<string, GPUBuffer>();
	const create = (label: string, size: number): GPUBuffer => {
		const usage = USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC;
		const buffer = device.createBuffer({ label, size, usage });
		buffers.set(label, buffer);
		return buffer;
	};
	let widest = 0;
	for (const { name, rows: kind, width } of activationsOf(program)) {
		if (buffers.has(name) || kind === "R") continue;
		const isResidual = residuals.has(name);
		if (isResidual) widest = Math.max(widest, width);
		const bytes = isResidual ? BYTES.f32 : BYTES[storage];
		create(name, rows * stride(width) * bytes);
	}
	return {
		of({ name }) {
			const buffer = buffers.get(name);
			if (buffer === undefined) throw new Error(`no activation ${name}`);
			return buffer;
		},
		storageOf: ({ name }) => (residuals.has(name) ? "f32" : storage),
		normed: create("normed", rows * stride(widest) * BYTES[storage]),
		scratch: (label, elements) => create(label, Math.max(16, 4 * elements)),
		destroy() {
			for (const buffer of buffers.values()) buffer.destroy();
		},
	};
}

function activationsOf({ ops }: Program): Activation[] {
	return ops.flatMap((op) =>
		Object.values(op).filter(
			(value): value is Activation =>
				value !== null && typeof value === "object" && "width" in value,
		),
	);
}

/** What is added to over the layers stays in f32. */
function residualNames({ ops }: Program): Set<string> {
	return new Set(
		ops.flatMap((op) => {
			if (op.op === "embed") return [op.output.name];
			return "residual" in op ? [op.residual.name] : [];
		}),
	);
}
