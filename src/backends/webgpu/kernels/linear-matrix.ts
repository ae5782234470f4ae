/**
 * y[t][n] = Σ_k x[t][k] · w[n][k] with subgroup matrices, and an epilogue: see linear.ts.
 * x: f16 [T up to a multiple of 128][stride(K)]; w: f16, q8_0 or q4_0 [N up to a multiple of 128][stride(K)], made f16 on the way;
 * products of halves are summed in f32.
 *
 * A workgroup walks along K: slabs of x and w come from memory into registers while those before are multiplied, then lie
 * in workgroup memory as vec4<u32> rows, which matrices are loaded from. Everything is unrolled and named, as compilers keep
 * no array of matrices in registers. After NVIDIA's vk_cooperative_matrix_perf.
 */
import type { Binding, Kernel } from "../kernel.ts";
import { stride } from "../layout.ts";
import { each, range } from "../wgsl.ts";
import {
	expertOffset,
	type LinearShape,
	linearBindings,
	shapeLabel,
	tileExpert,
	tileInputs,
} from "./linear.ts";
import {
	directEpilogue,
	epilogueFunctions,
	firstToken,
	initialSum,
	OUTPUT_TYPES,
	stagedEpilogue,
	storesDirectly,
} from "./linear-matrix-epilogue.ts";
import {
	LORA_TYPES,
	loraFunctions,
	loraStaging,
} from "./linear-matrix-lora.ts";
import {
	LANES,
	type MatrixTile,
	SIDE,
	splitsOf,
	type TileSizes,
	tileFits,
	tileLabel,
	tileSizes,
} from "./linear-matrix-tile.ts";
import {
	ELEMENTS,
	weightFunctions,
	weightHalves,
} from "./linear-matrix-weight.ts";

/** Dispatch as `matrixGrid` says. */
export function linearMatrix(shape: LinearShape, tile: MatrixTile): Kernel {
	const label = `linear_matrix_${shapeLabel(shape)}_${tileLabel(tile)}`;
	if (shape.storage !== "f16" || !tileFits(shape, tile))
		throw new Error(`${label}: the tile does not fit the shape`);
	const sizes = tileSizes(shape, tile);
	const vectors = "array<vec4<u32>>";
	const output = OUTPUT_TYPES[shape.epilogue];
	const bindings = linearBindings(
		shape,
		tileInputs(shape, vectors),
		{ weight: vectors, output },
		LORA_TYPES,
	).map(
		([name, access, type]): Binding =>
			name === "bias"
				? [name, access, "array<vec4<f32>>"]
				: [name, access, type],
	);
	return { label, bindings, code: moduleText(shape, tile, sizes) };
}

function moduleText(
	shape: LinearShape,
	tile: MatrixTile,
	sizes: TileSizes,
): string {
	const direct = storesDirectly(shape, tile);
	const epilogue = direct ? directEpilogue : stagedEpilogue;
	const [alongTokens, alongRows] = tile.subgroups;
	const [tokenMatrices, rowMatrices] = tile.matrices;
	const adds = direct && shape.epilogue === "add";
	return `
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
${weightFunctions(shape.format)}
${epilogueFunctions(shape)}${shape.lora ? loraFunctions(shape.lora) : ""}
var<workgroup> tiles: array<vec4<u32>, ${sizes.memory}>;

@compute @workgroup_size(${sizes.threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
${tileExpert(shape)}  let subgroup = thread / ${LANES}u;
  let tokenSubgroup = subgroup % ${alongTokens}u;
  let rowSubgroup = subgroup / ${alongTokens}u % ${alongRows}u;
  let kSubgroup = subgroup / ${alongTokens * alongRows}u;
  let firstToken = ${firstToken(shape, sizes)};
  let firstRow = group.y * ${sizes.rows}u;
  let token = firstToken + tokenSubgroup * ${tokenMatrices * SIDE}u;
  let row = firstRow + rowSubgroup * ${rowMatrices * SIDE}u;
  ${each(tokenMatrices, (i) => each(rowMatrices, (j) => `var sum${i}_${j}: subgroup_matrix_result<f32, 16, 16>;`))}
  ${adds ? each(tokenMatrices, (i) => each(rowMatrices, (j) => initialSum(shape, sizes, i, j))) : ""}
${sumText(shape, tile, sizes)}
${shape.lora ? loraStaging(shape.lora, shape, tile, sizes, multiplyText(tile, sizes, 0)) : ""}
${epilogue(shape, tile, sizes)}
}`;
}

/** How a slab of one operand lies in memory, and where it goes in workgroup memory. */
interface Copy {
	readonly name: "x" | "weight";
	readonly tileRows: number;
	/** vec4<u32> of a slab's row in memory, and from one row to the next. */
	readonly perRow: number;
	readonly pitch: number;
	/** Row of workgroup memory. */
	readonly firstRow: number;
	/** Of a vec4<u32> in memory. */
	readonly elements: 8 | 16 | 32;
}

function copiesOf(
	shape: LinearShape,
	tile: MatrixTile,
	sizes: TileSizes,
): Copy[] {
	const { format } = shape;
	if (format === "f32") throw new Error("linear-matrix: no f32 weights");
	const copy = (elements: 8 | 16 | 32) => ({
		perRow: tile.slab / elements,
		pitch: stride(shape.columns) / elements,
		elements,
	});
	const { tokens, rows } = sizes;
	return [
		{ name: "x", tileRows: tokens, firstRow: 0, ...copy(8) },
		{
			name: "weight",
			tileRows: rows,
			firstRow: tokens,
			...copy(ELEMENTS[format]),
		},
	];
}

/**
 * The sums over K. Slab i goes through registers i modulo `sets` and lies in buffer i modulo `buffers`; the loop is unrolled as far
 * as both are the same again.
 */
function sumText(
	shape: LinearShape,
	tile: MatrixTile,
	sizes: TileSizes,
): string {
	const { slabs } = sizes;
	const { buffers, ahead } = tile;
	const sets = Math.max(1, ahead);
	const unrolled = sets % buffers === 0 ? sets : sets * buffers;
	const rest = slabs % unrolled;
	const split = splitsOf(shape) > 1;
	const quantized = shape.format !== "f16";
	const moves = copiesOf(shape, tile, sizes).map((copy) =>
		copyText(copy, sizes, quantized, shape),
	);
	const load = (set: number, slab: string) =>
		moves.map((move) => move.load(set, slab)).join("\n");
	/** Slab `slab + u`. `next`: text of the load that is issued meanwhile. */
	const step = (u: number, next: string) => `
${ahead === 0 ? load(0, `(slab + ${u}u)`) : ""}
${buffers === 1 ? "workgroupBarrier();" : ""}
${moves.map((move) => move.store(u % sets, u % buffers, `(slab + ${u}u)`)).join("\n")}
${next}
workgroupBarrier();
${multiplyText(tile, sizes, u % buffers)}`;
	const next = (u: number) => load(u % sets, `(slab + ${u + ahead}u)`);
	const inLoop = (u: number) =>
		ahead === 0 ? "" : `if (slab + ${u + ahead}u < lastSlab) {\n${next(u)}\n}`;
	return `
  let firstSlab = ${split ? `group.z * ${slabs}u` : "0u"};
  let lastSlab = ${split ? `firstSlab + ${slabs}u` : `${slabs}u`};
  ${moves.map((move) => move.declare(sets)).join("\n")}
  ${each(Math.min(ahead, slabs), (set) => load(set, `(firstSlab + ${set}u)`))}
  var slab = firstSlab;
  for (; slab < lastSlab - ${rest}u; slab += ${unrolled}u) {
  ${each(unrolled, (u) => step(u, inLoop(u)))}
  }
  ${each(rest, (u) => step(u, ahead > 0 && u + ahead < rest ? next(u) : ""))}`;
}

/** Text that moves one operand. Registers are `x<set>_<i>`; a thread's loads lie a whole pass of the workgroup apart. */
function copyText(
	copy: Copy,
	{ threads, pitch, buffer }: TileSizes,
	quantized: boolean,
	shape: LinearShape,
) {
	const { format, columns } = shape;
	const { name, tileRows, perRow, elements } = copy;
	const weight = name === "weight";
	const scaled = weight && quantized;
	const rowsAPass = threads / perRow;
	const loads = Math.ceil(tileRows / rowsAPass);
	const origin = weight
		? `${expertOffset(shape)}firstRow`
		: `group.x * ${tileRows}u`;
	const blocks = stride(columns) / 32;
	const inTile = (i: number, text: string) =>
		(i + 1) * rowsAPass <= tileRows
			? text
			: `if (${name}Row + ${i * rowsAPass}u < ${tileRows}u) { ${text} }`;
	/** Index of the scale of register i. */
	const block = (i: number, slab: string) =>
		`(${name}Scale + ${i * rowsAPass * blocks}u + (${slab} * ${perRow}u + ${name}Column) * ${elements}u / 32u)`;
	const load = (set: number, i: number, slab: string) => {
		const at = `${name}From + ${i * rowsAPass * copy.pitch}u + ${slab} * ${perRow}u`;
		const value = `${name}${set}_${i} = ${name}[${at}];`;
		if (!scaled) return inTile(i, value);
		return inTile(
			i,
			`${value} scale${set}_${i} = scales[${block(i, slab)} / 2u];`,
		);
	};
	const store = (set: number, i: number, buffered: number, slab: string) => {
		const at = buffered * buffer + i * rowsAPass * pitch;
		const scale = scaled
			? `let scale = halfTwice(scale${set}_${i}, ${block(i, slab)}); `
			: "";
		const writes = weightHalves(
			weight ? format : "f16",
			`${name}${set}_${i}`,
			"scale",
		).map((halves, part) => `tiles[${name}To + ${at + part}u] = ${halves};`);
		return inTile(i, `{ ${scale}${writes.join(" ")} }`);
	};
	return {
		declare: (sets: number) => `
  let ${name}Row = thread / ${perRow}u;
  let ${name}Column = thread % ${perRow}u;
  let ${name}From = (${origin} + ${name}Row) * ${copy.pitch}u + ${name}Column;
  let ${name}To = (${copy.firstRow}u + ${name}Row) * ${pitch}u + ${name}Column * ${elements / 8}u;
  ${scaled ? `let ${name}Scale = (${origin} + ${name}Row) * ${blocks}u;` : ""}
  ${each(sets, (set) => each(loads, (i) => `var ${name}${set}_${i}: vec4<u32>; ${scaled ? `var scale${set}_${i}: u32;` : ""}`))}`,
		load: (set: number, slab: string) => each(loads, (i) => load(set, i, slab)),
		store: (set: number, buffered: number, slab: string) =>
			each(loads, (i) => store(set, i, buffered, slab)),
	};
}

/** Adds a slab's products to the sums. */
function multiplyText(
	{ subgroups, matrices: [tokens, rows], slab }: MatrixTile,
	sizes: TileSizes,
	buffered: number,
): string {
	const { pitch, buffer } = sizes;
	const depth = slab / SIDE / subgroups[2];
	const load = (side: string, order: string, at: string) =>
		`subgroupMatrixLoad<subgroup_matrix_${side}<f16, 16, 16>, ${order}>(&tiles, ${at}, ${pitch}u)`;
	const place = (row: number, k: number) =>
		`${buffered * buffer + row * SIDE * pitch + k * 2}u`;
	const products = (k: number) => `{
${each(tokens, (i) => `let left${i} = ${load("left", "row_major", `leftFrom + ${place(i, k)}`)};`)}
${each(
	rows,
	(j) => `{
let right = ${load("right", "col_major", `rightFrom + ${place(j, k)}`)};
${each(tokens, (i) => `sum${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}, right, sum${i}_${j});`)}
}`,
)}
}`;
	return `{
let leftFrom = tokenSubgroup * ${tokens * SIDE * pitch}u + kSubgroup * ${depth * 2}u;
let rightFrom = (${sizes.tokens}u + rowSubgroup * ${rows * SIDE}u) * ${pitch}u + kSubgroup * ${depth * 2}u;
${range(depth).map(products).join("\n")}
}`;
}
