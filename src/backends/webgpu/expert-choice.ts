/**
 * Which kernels multiply with experts' matrices: few tokens go one by one, each reading the matrices of its own experts; many are
 * sorted by expert, so that a tile of rows reads one expert's matrix.
 */
import type { Abilities } from "./device.ts";
import type { Kernel } from "./kernel.ts";
import type { LinearShape } from "./kernels/linear.ts";
import { linearMatrix } from "./kernels/linear-matrix.ts";
import { tileForMany } from "./kernels/linear-matrix-choice.ts";
import { matrixGrid, tileSizes } from "./kernels/linear-matrix-tile.ts";
import {
	linearTiles,
	type TileOptions,
	tilesGrid,
} from "./kernels/linear-tiles.ts";
import { linearVector } from "./kernels/linear-vector.ts";
import { vectorGrid } from "./kernels/linear-vector-plan.ts";
import { chooseVector } from "./linear-choice.ts";

export interface ExpertKernel {
	readonly kernel: Kernel;
	/** Workgroups along the rows of a matrix. */
	readonly rowGroups: number;
}

/** How sorted rows are multiplied. Both matrices of an expert see the same tiles of rows. */
export interface ExpertTiling {
	/** Rows of a tile. */
	readonly tile: number;
	kernel(shape: LinearShape): ExpertKernel;
}

/** A row of the output at a time. `normEps`: see chooseLinear. */
export function pairKernel(
	abilities: Abilities,
	shape: LinearShape,
	normEps: number | null,
): ExpertKernel {
	const options = chooseVector(abilities, shape, 1, normEps);
	return {
		kernel: linearVector(shape, options, abilities),
		rowGroups: vectorGrid(shape, options, abilities)[0],
	};
}

/**
 * `rowsPerExpert`: what an expert gets if all get the same. Tiles of half as many, since every expert's last one is half empty.
 * @param shapes of all matrices that shall be multiplied with, whatever their slices
 */
export function chooseTiling(
	abilities: Abilities,
	shapes: readonly LinearShape[],
	rowsPerExpert: number,
): ExpertTiling {
	const rows = Math.ceil(rowsPerExpert / 2);
	return matrixTiling(abilities, shapes, rows) ?? registerTiling(rows);
}

/** null where the device has no subgroup matrices, x or w are no halves, or no tile fits. */
function matrixTiling(
	abilities: Abilities,
	shapes: readonly LinearShape[],
	rows: number,
): ExpertTiling | null {
	const areHalves = shapes.every(
		({ storage, format }) => storage === "f16" && format !== "f32",
	);
	if (!abilities.subgroupMatrix || !areHalves) return null;
	const tileOf = (shape: LinearShape) => tileForMany(shape, rows, abilities);
	const heights = shapes.map((shape) => {
		const tile = tileOf(shape);
		return tile && tileSizes(shape, tile).tokens;
	});
	const [height] = heights;
	if (height === null || heights.some((other) => other !== height)) return null;
	return {
		tile: height,
		kernel(shape) {
			const tile = tileOf(shape);
			if (tile === null) throw new Error("no tile for an expert's matrix");
			const [, rowGroups] = matrixGrid(shape, tile, height);
			return { kernel: linearMatrix(shape, tile), rowGroups };
		},
	};
}

function registerTiling(rows: number): ExpertTiling {
	const tile: TileOptions =
		rows <= 32
			? { tokens: 32, rows: 64, threadTokens: 4, threadRows: 4 }
			: { tokens: 64, rows: 64, threadTokens: 8, threadRows: 4 };
	return {
		tile: tile.tokens,
		kernel: (shape) => ({
			kernel: linearTiles(shape, tile),
			rowGroups: tilesGrid(shape, tile, tile.tokens)[1],
		}),
	};
}
