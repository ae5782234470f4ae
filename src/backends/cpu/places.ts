/** Where a program's weights, activations and rotary tables stand: each gets its place when it is first asked for. */
import type { Limits } from "../backend.ts";
import type { Activation, Op, Rope, Weight } from "../program.ts";
import type { Arena } from "./arena.ts";
import {
	depthOf,
	PANEL_COLUMNS,
	panelBytes,
	type WeightFormat,
} from "./format.ts";

/** Logit rows made and sampled together. */
export const ROWS_PER_TILE = 64;
/** Behind each vector: kernels read whole panels of it. */
const VECTOR_SLACK = 64;

/** A weight matrix as panels in memory. */
export interface PackedMatrix {
	readonly weight: Weight;
	readonly format: WeightFormat;
	readonly address: number;
	readonly columns: number;
	readonly depth: number;
	readonly panelBytes: number;
	/** Of one expert; panels of different experts share no rows. A matrix of no mixture is one expert's. */
	readonly numPanels: number;
	readonly numExperts: number;
	/** Panels of gate and up rows alternate: the second half of an expert's rows starts at panel 1, and a row's next panel is 2 on. */
	readonly interleaved: boolean;
}

/** cos and sin of every position for one set of frequencies: f32 [maxModelLen][2 · frequencies]. */
export interface RopeTable {
	readonly address: number;
	readonly rope: Rope;
}

export interface PlacedVector {
	readonly weight: Weight;
	readonly address: number;
}

export interface Places {
	readonly matrices: ReadonlyMap<string, PackedMatrix>;
	readonly vectors: ReadonlyMap<string, PlacedVector>;
	readonly ropes: ReadonlyMap<string, RopeTable>;
	matrix(weight: Weight, op: Op): PackedMatrix;
	/** 0 for null. */
	vector(weight: Weight | null): number;
	buffer(activation: Activation): number;
	ropeTable(rope: Rope): number;
}

export function createPlaces(
	arena: Arena,
	limits: Limits,
	formatOf: (weight: Weight, op: Op) => WeightFormat,
): Places {
	const matrices = new Map<string, PackedMatrix>();
	const vectors = new Map<string, PlacedVector>();
	const buffers = new Map<string, number>();
	const ropes = new Map<string, RopeTable>();
	return {
		matrices,
		vectors,
		ropes,
		matrix: (weight, op) =>
			once(matrices, weight.name, () =>
				placeMatrix(arena, weight, op, formatOf),
			),
		vector(weight) {
			if (weight === null) return 0;
			const place = () => ({
				weight,
				address: arena.take(weight.shape[0] * 4 + VECTOR_SLACK),
			});
			return once(vectors, weight.name, place).address;
		},
		buffer: ({ name, rows, width }) =>
			once(buffers, name, () => {
				const count = rows === "T" ? limits.maxNumBatchedTokens : ROWS_PER_TILE;
				return arena.take(count * width * 4 + 64);
			}),
		ropeTable(rope) {
			const { inverseFrequencies, scale } = rope;
			const bytes = limits.maxModelLen * inverseFrequencies.length * 8;
			const key = `${scale}: ${inverseFrequencies.join()}`;
			return once(ropes, key, () => ({ address: arena.take(bytes), rope }))
				.address;
		},
	};
}

function once<T>(map: Map<string, T>, key: string, make: () => T): T {
	const known = map.get(key);
	if (known !== undefined) return known;
	const made = make();
	map.set(key, made);
	return made;
}

function placeMatrix(
	arena: Arena,
	weight: Weight,
	op: Op,
	formatOf: (weight: Weight, op: Op) => WeightFormat,
): PackedMatrix {
	const [rows, columns] = weight.shape;
	const mixture = op.op === "mixtureOfExperts" ? op : null;
	const isRouter = weight.name === mixture?.router.name;
	const numExperts = mixture === null || isRouter ? 1 : mixture.numExperts;
	const interleaved =
		op.op === "normGatedLinear" || weight.name === mixture?.gateUp.name;
	const expertRows = rows / numExperts;
	const numPanels = interleaved
		? 2 * Math.ceil(expertRows / 2 / PANEL_COLUMNS)
		: Math.ceil(expertRows / PANEL_COLUMNS);
	const format = isRouter ? "f32" : formatOf(weight, op);
	const bytes = panelBytes(format, columns);
	return {
		weight,
		format,
		columns,
		interleaved,
		numPanels,
		numExperts,
		address: arena.take(numExperts * numPanels * bytes),
		depth: depthOf(format, columns),
		panelBytes: bytes,
	};
}
