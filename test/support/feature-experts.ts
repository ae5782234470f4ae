/** The mixture of experts of a feature program, and the tensors in which its checkpoint holds the experts. */
import type { Activation, Op, WeightPart } from "../../src/backends/program.ts";
import {
	type ExpertsBlock,
	matrix,
	type NormOf,
	vector,
} from "./feature-program.ts";

export function expertsOp(
	block: ExpertsBlock,
	name: string,
	residual: Activation,
	norm: NormOf,
): Op {
	const { intermediate: I, numExperts: E } = block;
	const H = residual.width;
	const bias = (which: string, length: number) =>
		block.bias ? vector(`${name}.${which}.bias`, length) : null;
	return {
		op: "mixtureOfExperts",
		norm: norm(`${name}.norm`),
		numExperts: E,
		topK: block.topK,
		normalize: block.normalize ?? false,
		gating: block.gating ?? { kind: "gated", activation: "silu" },
		router: matrix(`${name}.router`, E, H),
		routerBias: bias("router", E),
		gateUp: {
			name: `${name}.gate_up`,
			shape: [E * 2 * I, H],
			parts: gateUpParts(`${name}.experts`, block, H),
		},
		gateUpBias: bias("gate_up", E * 2 * I),
		down: {
			name: `${name}.down`,
			shape: [E * H, I],
			parts: downParts(`${name}.experts`, block, H),
		},
		downBias: bias("down", E * H),
		scale: block.scale ?? 1,
		residual,
	};
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

function gateUpParts(
	prefix: string,
	{ storage, numExperts: E, intermediate: I }: ExpertsBlock,
	H: number,
): WeightPart[] {
	const tensor = `${prefix}.gate_up.weight`;
	const halves = upTo(E).flatMap((index) => [
		{ index, half: 0 },
		{ index, half: 1 },
	]);
	switch (storage) {
		case "parts":
			return halves.map(({ index, half }) => ({
				tensor: `${prefix}.${index}.${half === 0 ? "gate" : "up"}.weight`,
				rows: I,
			}));
		case "whole":
			return [{ tensor, rows: E * 2 * I }];
		case "stack": {
			const view = { shape: [E, 2 * I, H], transposed: false, step: 1 };
			return halves.map(({ index, half }) => ({
				tensor,
				rows: I,
				view: { ...view, index, first: half * I },
			}));
		}
		case "columns": {
			const view = { shape: [E, H, 2 * I], transposed: true, step: 2 };
			return halves.map(({ index, half }) => ({
				tensor,
				rows: I,
				view: { ...view, index, first: half },
			}));
		}
		default:
			return storage satisfies never;
	}
}

function downParts(
	prefix: string,
	{ storage, numExperts: E, intermediate: I }: ExpertsBlock,
	H: number,
): WeightPart[] {
	const tensor = `${prefix}.down.weight`;
	switch (storage) {
		case "parts":
			return upTo(E).map((index) => ({
				tensor: `${prefix}.${index}.down.weight`,
				rows: H,
			}));
		case "whole":
			return [{ tensor, rows: E * H }];
		case "stack":
		case "columns": {
			const transposed = storage === "columns";
			const shape = transposed ? [E, I, H] : [E, H, I];
			return upTo(E).map((index) => ({
				tensor,
				rows: H,
				view: { shape, index, transposed, first: 0, step: 1 },
			}));
		}
		default:
			return storage satisfies never;
	}
}
