/**
 * Tries the matrix kernels before they are trusted: every tile against plain loops, and the two tile widths against each other.
 * V8's revectorizer, where it is on, works on exactly this code. Takes some 20 ms.
 */
import {
	FORMATS,
	GROUP_ROWS,
	groupBytes,
	PANEL_COLUMNS,
	panelBytes,
	type WeightFormat,
} from "./format.ts";
import { instantiate, type Kernels } from "./kernels.ts";

export interface Calibration {
	/** False: a kernel gave a wrong result. */
	readonly correct: boolean;
	/** 16 columns at a time are faster than 8 here. */
	readonly wide: boolean;
}

const COLUMNS = 256;
/** Enough for the engine to move a kernel to its optimizing compiler, several times over. */
const WARM_UP_TILES = 4000;
/** The shortest of some short turns: a busy machine interrupts most, not all. */
const TURNS = 8;
const TILES_PER_TURN = 250;
/** Of the largest product sum: far above any format's rounding, far below what a wrong instruction does. */
const TOLERANCE = 0.02;

/** Addresses in the trial's own memory. */
const X = 2 ** 16;
const WEIGHTS = 2 ** 17;
const GROUP = 2 ** 18;
const PANEL = 2 ** 18 + 2 ** 16;
const TILE = 2 ** 19;
const PAGES = 16;

export function calibrate(
	module: WebAssembly.Module,
	shared: boolean,
	format: WeightFormat,
	now: () => number,
): Calibration {
	const memory = new WebAssembly.Memory({
		initial: PAGES,
		maximum: 2 ** 16,
		shared,
	});
	const kernels = instantiate(module, memory);
	const expected = prepare(kernels, memory, format);
	const run = (wide: boolean, count: number) => {
		kernels.set_wide(wide ? 1 : 0);
		const start = now();
		runTiles(kernels, format, count);
		return now() - start;
	};
	const isCorrect = (wide: boolean) => {
		run(wide, WARM_UP_TILES);
		const tile = new Float32Array(memory.buffer, TILE, expected.length);
		return isClose(tile, expected);
	};
	const correct = isCorrect(false) && isCorrect(true);
	let narrowMs = Infinity;
	let wideMs = Infinity;
	for (let turn = 0; turn < TURNS; turn++) {
		narrowMs = Math.min(narrowMs, run(false, TILES_PER_TURN));
		wideMs = Math.min(wideMs, run(true, TILES_PER_TURN));
	}
	return { correct, wide: wideMs < narrowMs };
}

function runTiles(kernels: Kernels, format: WeightFormat, count: number): void {
	const depth = COLUMNS / FORMATS[format].blockColumns;
	for (let i = 0; i < count; i++)
		kernels.tile(FORMATS[format].id, GROUP, PANEL, depth, TILE);
}

/** Fills a group and a panel with numbers and returns what their tile must be, by plain loops over the packed weights. */
function prepare(
	kernels: Kernels,
	memory: WebAssembly.Memory,
	format: WeightFormat,
): Float64Array {
	const { id, blockColumns } = FORMATS[format];
	const depth = COLUMNS / blockColumns;
	const x = new Float32Array(memory.buffer, X, GROUP_ROWS * COLUMNS);
	// Blocks of 32 in turn mostly positive and mostly negative: both ends of the integers are met, and no block's sum is 0.
	for (let i = 0; i < x.length; i++)
		x[i] = Math.sin(i * 0.7) + ((i & 32) === 0 ? 0.5 : -0.5);
	const group = groupBytes(format, COLUMNS);
	const rows = [X, COLUMNS, 0, 0, 0, GROUP_ROWS, 0, 0] as const;
	kernels.prepare_rows(id, ...rows, depth, TILE, GROUP, group);

	const expected = new Float64Array(GROUP_ROWS * PANEL_COLUMNS);
	const weights = new Float32Array(memory.buffer, WEIGHTS, COLUMNS);
	for (let n = 0; n < PANEL_COLUMNS; n++) {
		for (let k = 0; k < COLUMNS; k++) weights[k] = Math.cos(n * 1.1 + k * 0.7);
		narrowTo(format, memory, weights);
		const rowBytes = format === "f16" || format === "bf16" ? 2 : 4;
		const panel = panelBytes(format, COLUMNS);
		kernels.pack_rows(
			id,
			WEIGHTS,
			rowBytes * COLUMNS,
			1,
			n,
			depth,
			PANEL,
			panel,
			1,
		);
		kernels.unpack(id, PANEL, depth, n, WEIGHTS);
		for (let r = 0; r < GROUP_ROWS; r++) {
			let sum = 0;
			for (let k = 0; k < COLUMNS; k++) sum += x[r * COLUMNS + k] * weights[k];
			expected[r * PANEL_COLUMNS + n] = sum;
		}
	}
	return expected;
}

/** Rewrites the row in place as the format's own 16-bit type, where it has one. */
function narrowTo(
	format: WeightFormat,
	memory: WebAssembly.Memory,
	weights: Float32Array,
): void {
	if (format !== "f16" && format !== "bf16") return;
	const bits = Uint32Array.from(new Uint32Array(weights.slice().buffer));
	const target = new Uint16Array(memory.buffer, WEIGHTS, weights.length);
	// Truncated: the values matter only in being the same on both sides. |cos| in f16 needs no more than a shifted exponent.
	for (let k = 0; k < bits.length; k++) {
		if (format === "bf16") target[k] = bits[k] >>> 16;
		else {
			const magnitude = ((bits[k] & 0x7fffffff) - 0x38000000) >> 13;
			target[k] = ((bits[k] >>> 16) & 0x8000) | Math.max(0, magnitude);
		}
	}
}

function isClose(tile: Float32Array, expected: Float64Array): boolean {
	const largest = expected.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
	return expected.every(
		(value, i) => Math.abs(tile[i] - value) <= TOLERANCE * largest,
	);
}
