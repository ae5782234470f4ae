/** Walks a program over one step with the plain ops of ops.ts. */
import { assert } from "../../errors.ts";
import type { StepInput, StepOutput } from "../backend.ts";
import type { Activation, Norm, Op, Program, Weight } from "../program.ts";
import { logprobTable, rowLogprobs } from "./logprobs.ts";
import {
	attention,
	embed,
	gate,
	type LayerCache,
	linear,
	type Matrix,
	rmsNorm,
	rope,
	writeCache,
} from "./ops.ts";
import { sampleRow } from "./sample.ts";

export interface Step {
	readonly program: Program;
	readonly weights: ReadonlyMap<string, Float32Array>;
	readonly caches: readonly LayerCache[];
	readonly activations: ReadonlyMap<string, Matrix>;
}

/** Runs every op of the program over one step. tokenIds: [T], carried tokens filled in; carried: token index → the id. */
export function walk(
	step: Step,
	input: StepInput,
	tokenIds: Int32Array,
	carried: ReadonlyMap<number, number>,
): StepOutput {
	let logitsOp: Extract<Op, { op: "logits" }> | null = null;
	for (const op of step.program.ops) {
		if (op.op === "logits") logitsOp = op;
		else if (op.op === "sample") {
			assert(logitsOp !== null, "a program makes logits before it samples");
			return sampleRows(step, logitsOp, input, carried);
		} else runTokenOp(step, op, input, tokenIds);
	}
	throw new Error("nano-vllm bug: a program ends with the sample op");
}

function runTokenOp(
	{ weights, caches, activations }: Step,
	op: Exclude<Op, { op: "logits" | "sample" }>,
	input: StepInput,
	tokenIds: Int32Array,
): void {
	const T = input.numTokens;
	const vector = (w: Weight) => weights.get(w.name) as Float32Array;
	const matrix = (w: Weight) => ({ data: vector(w), width: w.shape[1] });
	const buffer = (a: Activation) => activations.get(a.name) as Matrix;
	const optional = (w: Weight | null) => (w === null ? null : vector(w));
	const normed = (a: Activation, norm: Norm) => {
		const x = buffer(a);
		const y = { data: new Float32Array(T * x.width), width: x.width };
		for (let t = 0; t < T; t++) {
			const at = t * x.width;
			rmsNorm(x.data, at, vector(norm.weight), norm.eps, y.data, at);
		}
		return y;
	};

	switch (op.op) {
		case "embed":
			embed(tokenIds, T, matrix(op.weight), buffer(op.output));
			break;
		case "normLinear": {
			const x = normed(op.input, op.norm);
			const y = buffer(op.output);
			linear(x, T, matrix(op.weight), optional(op.bias), y, false);
			break;
		}
		case "ropeAndCache": {
			const { data, width } = buffer(op.qkv);
			const { numHeads, numKvHeads, headDim } = op.heads;
			for (let t = 0; t < T; t++) {
				for (let h = 0; h < numHeads + numKvHeads; h++) {
					const at = t * width + h * headDim;
					const norm = h < numHeads ? op.qNorm : op.kNorm;
					if (norm !== null)
						rmsNorm(data, at, vector(norm.weight), norm.eps, data, at);
					rope(data, at, input.positions[t], op.rope.inverseFrequencies);
				}
			}
			writeCache(buffer(op.qkv), input, op.heads, caches[op.layer]);
			break;
		}
		case "attention":
			attention(
				buffer(op.qkv),
				input,
				op.heads,
				op.scale,
				op.slidingWindow,
				caches[op.layer],
				buffer(op.output),
			);
			break;
		case "linearAdd":
			linear(
				buffer(op.input),
				T,
				matrix(op.weight),
				optional(op.bias),
				buffer(op.residual),
				true,
			);
			break;
		case "normGatedLinear": {
			const x = normed(op.input, op.norm);
			const width = op.weight.shape[0];
			const both = { data: new Float32Array(T * width), width };
			linear(x, T, matrix(op.weight), null, both, false);
			gate(both, T, buffer(op.output));
			break;
		}
		default:
			op satisfies never;
	}
}

function sampleRows(
	{ weights, activations }: Step,
	op: Extract<Op, { op: "logits" }>,
	input: StepInput,
	carried: ReadonlyMap<number, number>,
): StepOutput {
	const { sampling, numSampleRows } = input;
	const x = activations.get(op.input.name) as Matrix;
	const logits = activations.get(op.output.name) as Matrix;
	const normWeight = weights.get(op.norm.weight.name) as Float32Array;
	const w = {
		data: weights.get(op.weight.name) as Float32Array,
		width: op.weight.shape[1],
	};
	const hidden = { data: new Float32Array(x.width), width: x.width };
	const tokenIds = new Int32Array(numSampleRows);
	const failedRows = new Map<number, "nan" | "forbidden">();
	const logprobs = new Map<number, ReturnType<typeof rowLogprobs>>();
	for (let r = 0; r < input.numRows; r++) {
		const token = input.logitRows[r];
		rmsNorm(x.data, token * x.width, normWeight, op.norm.eps, hidden.data, 0);
		linear(hidden, 1, w, null, logits, false);
		const entries = sampling.logprobEntries[r];
		const raw = entries > 0 ? logits.data.slice() : logits.data;
		let chosen: number | null;
		if (logits.data.some(Number.isNaN)) {
			failedRows.set(r, "nan");
			continue;
		}
		if (r >= numSampleRows) chosen = sampling.scoredTokens[r - numSampleRows];
		else {
			const known = carried.get(token) ?? null;
			chosen = sampleRow(logits.data, sampling, r, known);
			if (chosen === null) {
				failedRows.set(r, "forbidden");
				continue;
			}
			tokenIds[r] = chosen;
		}
		if (entries > 0) logprobs.set(r, rowLogprobs(raw, chosen, entries));
	}
	return { tokenIds, failedRows, logprobs: logprobTable(input, logprobs) };
}
