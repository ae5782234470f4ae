/** Walks a program over one step with the plain ops of ops.ts. */
import { assert } from "../../errors.ts";
import type { AdapterWeights, StepInput, StepOutput } from "../backend.ts";
import type { Activation, Norm, Op, Program, Weight } from "../program.ts";
import { mixExperts } from "./experts.ts";
import { gate } from "./gating.ts";
import { logprobTable, rowLogprobs } from "./logprobs.ts";
import { addAdapters } from "./lora.ts";
import {
	addScaled,
	attention,
	cap,
	embed,
	type LayerCache,
	linear,
	type Matrix,
	matrixOf,
	normRows,
	rmsNorm,
	rope as turn,
	writeCache,
} from "./ops.ts";
import { sampleRow } from "./sample.ts";

export interface Step {
	readonly program: Program;
	readonly weights: ReadonlyMap<string, Float32Array>;
	readonly caches: readonly LayerCache[];
	readonly activations: ReadonlyMap<string, Matrix>;
	/** What each slot holds. */
	readonly adapters: readonly (AdapterWeights | null)[];
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

type TokenOp = Exclude<Op, { op: "logits" | "sample" }>;

function runTokenOp(
	step: Step,
	op: TokenOp,
	input: StepInput,
	tokenIds: Int32Array,
): void {
	const T = input.numTokens;
	const { vector, optional, matrix, buffer } = lookUps(step);
	const normed = (a: Activation, norm: Norm | null) =>
		norm === null
			? buffer(a)
			: normRows(buffer(a), T, vector(norm.weight), norm.eps);

	switch (op.op) {
		case "embed":
			embed(tokenIds, T, matrix(op.weight), op.scale, buffer(op.output));
			break;
		case "normLinear": {
			const x = normed(op.input, op.norm);
			const y = buffer(op.output);
			linear(x, T, matrix(op.weight), optional(op.bias), y);
			break;
		}
		case "ropeAndCache":
			normAndTurn(step, op, input);
			writeCache(buffer(op.qkv), input, op.heads, step.caches[op.layer]);
			break;
		case "attention": {
			const scoring = { ...op, sinks: optional(op.sinks) };
			const cache = step.caches[op.layer];
			const y = buffer(op.output);
			attention(buffer(op.qkv), input, op.heads, scoring, cache, y);
			break;
		}
		case "linearAdd": {
			const sum = matrixOf(T, op.residual.width);
			const w = matrix(op.weight);
			linear(buffer(op.input), T, w, optional(op.bias), sum);
			const post = op.postNorm;
			const added =
				post === null ? sum : normRows(sum, T, vector(post.weight), post.eps);
			addScaled(added, T, op.scale, buffer(op.residual));
			break;
		}
		case "normGatedLinear": {
			const x = normed(op.input, op.norm);
			const both = matrixOf(T, op.weight.shape[0]);
			linear(x, T, matrix(op.weight), optional(op.bias), both);
			const gating = { kind: "gated", activation: op.activation } as const;
			gate(both, T, gating, buffer(op.output));
			break;
		}
		case "mixtureOfExperts": {
			const experts = {
				...op,
				router: matrix(op.router),
				routerBias: optional(op.routerBias),
				gateUp: matrix(op.gateUp),
				gateUpBias: optional(op.gateUpBias),
				down: matrix(op.down),
				downBias: optional(op.downBias),
			};
			const x = normed(op.residual, op.norm);
			mixExperts(x, T, experts, buffer(op.residual));
			break;
		}
		case "gate": {
			const gating = { kind: "gated", activation: op.activation } as const;
			gate(buffer(op.input), T, gating, buffer(op.output));
			break;
		}
		case "normAdd": {
			const added = normed(op.input, op.norm);
			addScaled(added, T, op.scale, buffer(op.residual));
			break;
		}
		case "lora": {
			const x = normed(op.input, op.norm);
			const y = buffer(op.output);
			addAdapters(x, op.targets, op.scale, step.adapters, input, y);
			break;
		}
		default:
			op satisfies never;
	}
}

function lookUps({ weights, activations }: Step) {
	const vector = (w: Weight) => weights.get(w.name) as Float32Array;
	return {
		vector,
		optional: (w: Weight | null) => (w === null ? null : vector(w)),
		matrix: (w: Weight): Matrix => ({ data: vector(w), width: w.shape[1] }),
		buffer: (a: Activation) => activations.get(a.name) as Matrix,
	};
}

/** What ropeAndCache does to q and k in place. */
function normAndTurn(
	step: Step,
	{ qkv, heads, qNorm, kNorm, rope }: Extract<Op, { op: "ropeAndCache" }>,
	{ numTokens, positions }: StepInput,
): void {
	const { vector, buffer } = lookUps(step);
	const { data, width } = buffer(qkv);
	const { numHeads, numKvHeads, headDim } = heads;
	const normalise = (norm: Norm | null, start: number, count: number) => {
		if (norm === null) return;
		const weight = vector(norm.weight);
		// A weight as long as one head is used for each, a longer one for all at once.
		const end = start + count * headDim;
		for (let at = start; at < end; at += weight.length)
			rmsNorm(data, at, weight, norm.eps, data, at);
	};
	for (let t = 0; t < numTokens; t++) {
		const q = t * width;
		normalise(qNorm, q, numHeads);
		normalise(kNorm, q + numHeads * headDim, numKvHeads);
		if (rope === null) continue;
		for (let h = 0; h < numHeads + numKvHeads; h++)
			turn(data, q + h * headDim, positions[t], rope);
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
		linear(hidden, 1, w, null, logits);
		for (let i = 0; i < logits.data.length; i++)
			logits.data[i] = cap(op.scale * logits.data[i], op.softCap);
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
