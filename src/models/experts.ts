/** A layer's mixture of experts as an op, from where a checkpoint keeps each expert's matrices. */
import type {
	Activation,
	Gating,
	Norm,
	Op,
	TensorView,
	Weight,
	WeightPart,
} from "../backends/program.ts";
import type { ModelConfig } from "./config.ts";
import type { ExpertsConfig } from "./experts-config.ts";
import { matrix, vector } from "./parts.ts";

/** A tensor of its own, or a view of one that holds more. */
export type Place =
	| string
	| { readonly tensor: string; readonly view: TensorView };

type OfExpert = (expert: number) => Place;

/** Where a checkpoint keeps what. */
export interface ExpertTensors {
	readonly router: string;
	readonly routerBias?: string;
	readonly gate: OfExpert;
	readonly up: OfExpert;
	readonly down: OfExpert;
	readonly biases?: {
		readonly gate: OfExpert;
		readonly up: OfExpert;
		readonly down: OfExpert;
	};
	/** Absent: that of the config's activation. */
	readonly gating?: Gating;
}

/** name: the layer's, for its weights. */
export function expertsOp(
	{ hiddenSize, residualMultiplier, activation }: ModelConfig,
	{ numExperts, topK, normalize, intermediateSize }: ExpertsConfig,
	name: string,
	tensors: ExpertTensors,
	{ norm, residual }: { readonly norm: Norm; readonly residual: Activation },
): Op {
	const { router, routerBias, gate, up, down, biases } = tensors;
	/** Expert by expert, what the given places hold under one another. */
	const weight = (
		what: string,
		columns: readonly number[],
		places: readonly OfExpert[],
		rows: number,
	): Weight => ({
		name: `${name}.experts.${what}`,
		shape: [numExperts * places.length * rows, ...columns],
		parts: Array.from({ length: numExperts }, (_, e) =>
			places.map((place) => partAt(place(e), rows)),
		).flat(),
	});
	return {
		op: "mixtureOfExperts",
		norm,
		numExperts,
		topK,
		normalize,
		gating: tensors.gating ?? { kind: "gated", activation },
		router: matrix(`${name}.router`, hiddenSize, [[router, numExperts]]),
		routerBias:
			routerBias === undefined
				? null
				: vector(`${name}.router.bias`, [[routerBias, numExperts]]),
		gateUp: weight("gate_up", [hiddenSize], [gate, up], intermediateSize),
		gateUpBias: biases
			? weight("gate_up.bias", [], [biases.gate, biases.up], intermediateSize)
			: null,
		down: weight("down", [intermediateSize], [down], hiddenSize),
		downBias: biases
			? weight("down.bias", [], [biases.down], hiddenSize)
			: null,
		scale: residualMultiplier,
		residual,
	};
}

function partAt(place: Place, rows: number): WeightPart {
	return typeof place === "string"
		? { tensor: place, rows }
		: { ...place, rows };
}
