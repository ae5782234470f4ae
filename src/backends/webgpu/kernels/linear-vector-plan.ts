/** How a matrix-vector kernel shares its work: the options it is written with, and what follows from them and a shape. Knows no WGSL. */
import type { Abilities } from "../device.ts";
import { stride } from "../layout.ts";
import type { LinearShape } from "./linear.ts";
import { UNITS, type Unit } from "./weight-unit.ts";

export interface VectorOptions {
	/** T the text is written for, a power of two: rows of x past the step's tokens are computed too. */
	readonly tokens: number;
	/** Rows of the weight a team shares, a power of two. */
	readonly rowsPerTeam: number;
	/** Subgroups (threads, where there are no subgroups) of a team, a power of two. */
	readonly subgroupsPerTeam: number;
	readonly threads: number;
	/** Loads of one row a lane makes before it uses the first. */
	readonly unroll: number;
	/** Fuses the RMSNorm of a f32 residual with this eps. */
	readonly normEps: number | null;
}

/** Everything the pieces of text are written from. */
export interface VectorPlan {
	readonly shape: LinearShape;
	readonly options: VectorOptions;
	readonly unit: Unit;
	/** Lanes of a subgroup, of a team. */
	readonly lanes: number;
	readonly teamLanes: number;
	readonly groupRows: number;
	/** 16-byte units of a row. */
	readonly rowUnits: number;
	readonly xStorage: "f16" | "f32";
	/** Sums a team leaves: of each row and token, then of each token's squares. */
	readonly numSums: number;
}

export function planOf(
	shape: LinearShape,
	options: VectorOptions,
	abilities: Abilities,
): VectorPlan {
	const { tokens, rowsPerTeam, subgroupsPerTeam, threads, normEps } = options;
	const unit = UNITS[shape.format];
	const lanes = abilities.subgroupSize;
	const teamLanes = lanes * subgroupsPerTeam;
	return {
		shape,
		options,
		unit,
		lanes,
		teamLanes,
		groupRows: (threads / teamLanes) * rowsPerTeam,
		rowUnits: stride(shape.columns) / unit.elements,
		xStorage: normEps === null ? shape.storage : "f32",
		numSums: rowsPerTeam * tokens + (normEps === null ? 0 : tokens),
	};
}

/** Weight rows one workgroup computes. */
export function vectorGroupRows(
	{ rowsPerTeam, subgroupsPerTeam, threads }: VectorOptions,
	abilities: Abilities,
): number {
	const teams = threads / (abilities.subgroupSize * subgroupsPerTeam);
	return teams * rowsPerTeam;
}

/** Rows of the weight that make one u32 of the output. */
export function rowsPerWord({ storage, epilogue }: LinearShape): number {
	const halves = storage === "f16";
	switch (epilogue) {
		case "store":
			return halves ? 2 : 1;
		case "gated":
			return halves ? 4 : 2;
		default:
			return 1;
	}
}

export function vectorGrid(
	shape: LinearShape,
	options: VectorOptions,
	abilities: Abilities,
): [number, number, number] {
	const rows = vectorGroupRows(options, abilities);
	return [Math.ceil(shape.rows / rows), 1, 1];
}
