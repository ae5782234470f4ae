/**
 * A linear op for up to eight tokens on any device: one pass over the weight, bound by memory. A team of lanes shares a few
 * rows of the weight and splits K among them; each lane reads 16 bytes of every row at a time, several such loads ahead of
 * their use, and keeps x in registers over the rows. With a norm, x is the f32 residual and the RMSNorm is fused: as its scale
 * is one factor per token, each team sums the squares beside its products and the scale is applied at the end.
 * After ggml-webgpu's mul_mat_vec and ONNX Runtime's MatMulNBits with skip-norm.
 */
import { assert } from "../../../errors.ts";
import type { Abilities } from "../device.ts";
import type { Binding, Kernel } from "../kernel.ts";
import { stride } from "../layout.ts";
import { each, HALVES, MAX_HALF, range } from "../wgsl.ts";
import { ACTIVATE } from "./epilogue.ts";
import { type LinearShape, linearBindings, shapeLabel } from "./linear.ts";
import { laneSums, subgroupLines } from "./reduce.ts";
import { BIASED_QUANTS, UNITS, type Unit } from "./weight-unit.ts";

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
interface Plan {
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

function planOf(
	shape: LinearShape,
	options: VectorOptions,
	abilities: Abilities,
): Plan {
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

/**
 * bindings: x (`storage` [T][stride(K)]), or with a norm residual (f32 [T][stride(K)]) and normWeight (f32 [stride(K)]); weight,
 * (scales), (bias), output. Grid: vectorGrid.
 */
export function linearVector(
	shape: LinearShape,
	options: VectorOptions,
	abilities: Abilities,
): Kernel {
	const plan = planOf(shape, options, abilities);
	const { tokens, rowsPerTeam, threads, normEps } = options;
	const { teamLanes, lanes, rowUnits, groupRows, unit } = plan;
	assert(shape.epilogue !== "partial", "matrix-vector does not split K");
	assert(
		groupRows % rowsPerWord(shape) === 0 && 128 % groupRows === 0,
		`a workgroup of ${groupRows} rows does not fit the output`,
	);
	return {
		label: [
			"linear_vector",
			shapeLabel(shape),
			`${tokens}t`,
			`${rowsPerTeam}r`,
			`${options.subgroupsPerTeam}s`,
			`${threads}w`,
			`${options.unroll}u`,
			...(normEps === null ? [] : ["norm", normEps]),
		].join("_"),
		bindings: linearBindings(shape, inputsOf(plan), {
			weight: `array<${unit.type}>`,
			output:
				rowsPerWord(shape) % 2 === 0 && shape.storage === "f16"
					? "array<u32>"
					: "array<f32>",
		}),
		code: `${subgroupLines(lanes)}${HALVES}${FUNCTIONS}${ACTIVATE}${unit.functions}
var<workgroup> sums: array<f32, ${(threads / lanes) * sumsStride(plan)}>;
${totalFunction(plan)}
@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let teamLane = thread % ${teamLanes}u;
  let lane = thread % ${lanes}u;
  let firstRow = group.x * ${groupRows}u;
  let teamRow = firstRow + thread / ${teamLanes}u * ${rowsPerTeam}u;
${each(rowsPerTeam, (r) => `  let row${r} = (teamRow + ${r}u) * ${rowUnits}u;`)}
${accumulators(plan)}
${overColumns(plan)}
${leaveSums(plan)}
  workgroupBarrier();
${writeOutput(plan)}
}`,
	};
}

export function vectorGrid(
	shape: LinearShape,
	options: VectorOptions,
	abilities: Abilities,
): [number, number, number] {
	const rows = vectorGroupRows(options, abilities);
	return [Math.ceil(shape.rows / rows), 1, 1];
}

const FUNCTIONS = `
fn dotAdd(a: vec4<f32>, b: vec4<f32>, c: f32) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, c))));
}
fn toHalves2(x: vec2<f32>) -> u32 {
  return pack2x16float(clamp(x, vec2<f32>(-${MAX_HALF}.0), vec2<f32>(${MAX_HALF}.0)));
}`;

function inputsOf({ unit, xStorage, options }: Plan): Binding[] {
	if (options.normEps !== null)
		return [
			["residual", "read", "array<vec4<f32>>"],
			["normWeight", "read", "array<vec4<f32>>"],
		];
	const halves = unit.elements === 4 ? "vec2<u32>" : "vec4<u32>";
	return [["x", "read", `array<${xStorage === "f16" ? halves : "vec4<f32>"}>`]];
}

const eachRowAndToken = (
	{ options: { rowsPerTeam, tokens } }: Plan,
	text: (r: number, t: number) => string,
): string => each(rowsPerTeam, (r) => each(tokens, (t) => text(r, t)));

function accumulators(plan: Plan): string {
	const { tokens, normEps } = plan.options;
	const squares = (t: number) => `  var squares${t} = 0.0;`;
	return [
		eachRowAndToken(plan, (r, t) => `  var y${r}_${t} = 0.0;`),
		normEps === null ? "" : each(tokens, squares),
	].join("\n");
}

/** Whole steps of all lanes of the team in a loop, `unroll` a turn; then the whole steps left; then the lanes of the last units. */
function overColumns(plan: Plan): string {
	const { rowUnits, teamLanes, options } = plan;
	const whole = Math.floor(rowUnits / teamLanes);
	const turns = Math.floor(whole / options.unroll);
	const perTurn = options.unroll * teamLanes;
	const unitsFrom = (first: number, count: number) =>
		range(count).map((u) => `${first + u * teamLanes}u + teamLane`);
	const parts: string[] = [];
	if (turns === 1) parts.push(steps(plan, unitsFrom(0, options.unroll)));
	if (turns > 1)
		parts.push(`  for (var turn = 0u; turn < ${turns}u; turn++) {
${steps(
	plan,
	unitsFrom(0, options.unroll).map((at) => `turn * ${perTurn}u + ${at}`),
)}
  }`);
	const left = whole - turns * options.unroll;
	if (left > 0) parts.push(steps(plan, unitsFrom(turns * perTurn, left)));
	const last = rowUnits - whole * teamLanes;
	if (last > 0)
		parts.push(`  if (teamLane < ${last}u) {
${steps(plan, unitsFrom(whole * teamLanes, 1))}
  }`);
	return parts.join("\n");
}

/** The products of several units: all loads of the weight first. */
function steps(plan: Plan, unitsAt: readonly string[]): string {
	const { unit, shape, options } = plan;
	const blocks = stride(shape.columns) / 32;
	const loads = unitsAt.map((at, u) => [
		`    let unit${u} = ${at};`,
		each(
			options.rowsPerTeam,
			(r) => `    let w${u}_${r} = weight[row${r} + unit${u}];`,
		),
		unit.perBlock === null
			? ""
			: each(
					options.rowsPerTeam,
					(r) =>
						`    let scale${u}_${r} = scaleOf((teamRow + ${r}u) * ${blocks}u + unit${u} / ${unit.perBlock}u);`,
				),
	]);
	return `  {
${loads.flat().join("\n")}
${unitsAt.map((_, u) => products(plan, u)).join("\n")}
  }`;
}

/** One unit of all rows times x of all tokens. The sums of a quantized unit are scaled before they are added to the others. */
function products(plan: Plan, u: number): string {
	const { unit, options } = plan;
	const quantized = unit.perBlock !== null;
	const { tokens } = options;
	const before = quantized
		? `${eachRowAndToken(plan, (r, t) => `    var d${r}_${t} = 0.0;`)}
${each(tokens, (t) => `    var offset${t} = 0.0;`)}`
		: "";
	const after = quantized
		? eachRowAndToken(
				plan,
				(r, t) =>
					`    y${r}_${t} = fma(scale${u}_${r}, d${r}_${t} - offset${t}, y${r}_${t});`,
			)
		: "";
	return `    {
${before}
${unit.pieces.map((fours) => piece(plan, u, fours)).join("\n")}
${after}
    }`;
}

/** Some vec4 of a unit: unpacked for all rows, then multiplied token by token. */
function piece(plan: Plan, u: number, fours: readonly number[]): string {
	const { unit, options } = plan;
	const quantized = unit.perBlock !== null;
	const lines: string[] = [];
	for (const r of range(options.rowsPerTeam))
		for (const i of fours)
			lines.push(`      let v${r}_${i} = ${unit.four(`w${u}_${r}`, i)};`);
	if (options.normEps !== null)
		for (const i of fours)
			lines.push(
				`      let n${i} = normWeight[unit${u} * ${unit.elements / 4}u + ${i}u];`,
			);
	for (const t of range(options.tokens)) {
		lines.push(`      { ${loadX(plan, u, t, fours)}`);
		for (const i of fours) {
			if (quantized)
				lines.push(
					`        offset${t} = dotAdd(x${i}, vec4<f32>(${BIASED_QUANTS}), offset${t});`,
				);
			for (const r of range(options.rowsPerTeam)) {
				const sum = `${quantized ? "d" : "y"}${r}_${t}`;
				lines.push(`        ${sum} = dotAdd(v${r}_${i}, x${i}, ${sum});`);
			}
		}
		lines.push("      }");
	}
	return `    {\n${lines.join("\n")}\n    }`;
}

/** `x0`, `x1` …: the vec4 of x that belong to those of the unit. */
function loadX(
	{ unit, rowUnits, xStorage, options }: Plan,
	u: number,
	t: number,
	fours: readonly number[],
): string {
	const at = (perUnit: number, i: number) =>
		`${t * rowUnits * perUnit}u + unit${u} * ${perUnit}u + ${i}u`;
	if (options.normEps !== null)
		return fours
			.map(
				(i) => `let x${i}_raw = residual[${at(unit.elements / 4, i)}];
        squares${t} = dotAdd(x${i}_raw, x${i}_raw, squares${t});
        let x${i} = x${i}_raw * n${i};`,
			)
			.join("\n        ");
	if (xStorage === "f32")
		return fours
			.map((i) => `let x${i} = x[${at(unit.elements / 4, i)}];`)
			.join(" ");
	if (unit.elements === 4) return `let x0 = halves4(x[${at(1, 0)}]);`;
	const pairs = fours.filter((i) => i % 2 === 0);
	return pairs
		.map(
			(i) =>
				`let h${i} = x[${at(unit.elements / 8, i / 2)}]; let x${i} = halves4(h${i}.xy); let x${i + 1} = halves4(h${i}.zw);`,
		)
		.join("\n        ");
}

/** Workgroup memory of one subgroup's sums; odd, so that threads without subgroups meet no bank twice. */
const sumsStride = ({ numSums, lanes }: Plan): number =>
	lanes > 1 ? numSums : numSums + 1 - (numSums % 2);

/** The sums of each subgroup into workgroup memory. */
function leaveSums(plan: Plan): string {
	const { lanes, options } = plan;
	const { rowsPerTeam, tokens, normEps } = options;
	const names = range(rowsPerTeam).flatMap((r) =>
		range(tokens).map((t) => `y${r}_${t}`),
	);
	const leave = (prefix: string, values: readonly string[], from: number) => {
		const { text, names, lanesPerValue } = laneSums(prefix, values, lanes);
		const stores = names.map(
			(name, i) =>
				`sums[mine + lane / ${lanesPerValue}u * ${names.length}u + ${from + i}u] = ${name};`,
		);
		return `${text}
  if (lane % ${lanesPerValue}u == 0u) {
    ${stores.join("\n    ")}
  }`;
	};
	return `  let mine = thread / ${lanes}u * ${sumsStride(plan)}u;
${leave("sum", names, 0)}
${
	normEps === null
		? ""
		: leave(
				"square",
				range(tokens).map((t) => `squares${t}`),
				names.length,
			)
}`;
}

/** `total(row, token)`: y of a row of the workgroup, bias included. */
function totalFunction(plan: Plan): string {
	const { shape, options, unit } = plan;
	const { rowsPerTeam, subgroupsPerTeam, tokens, normEps } = options;
	const S = sumsStride(plan);
	const lines = [
		"var y = sumOf(first + row % ROWS * TOKENS + token);",
		...(unit.factor === 1 ? [] : [`y *= ${unit.factor}.0;`]),
		...(normEps === null
			? []
			: [
					`y *= inverseSqrt(sumOf(first + ${rowsPerTeam * tokens}u + token) / ${shape.columns}.0 + ${normEps});`,
				]),
		...(shape.bias ? ["y += bias[firstRow + row];"] : []),
	];
	return `const ROWS = ${rowsPerTeam}u;
const TOKENS = ${tokens}u;
fn sumOf(first: u32) -> f32 {
  var sum = sums[first];
  for (var part = 1u; part < ${subgroupsPerTeam}u; part++) { sum += sums[first + part * ${S}u]; }
  return sum;
}
fn total(firstRow: u32, row: u32, token: u32) -> f32 {
  let first = row / ROWS * ${subgroupsPerTeam * S}u;
  ${lines.join("\n  ")}
  return y;
}`;
}

/** One thread a word of the output. */
function writeOutput(plan: Plan): string {
	const { shape, options, groupRows } = plan;
	const { epilogue, storage, rows, outputStride } = shape;
	const gated = epilogue === "gated";
	const perWord = rowsPerWord(shape);
	const words = groupRows / perWord;
	const count = words * options.tokens;
	const y = (i: number) =>
		gated
			? `gated(total(firstRow, row + ${2 * i}u, token), total(firstRow, row + ${2 * i + 1}u, token))`
			: `total(firstRow, row + ${i}u, token)`;
	const halves = storage === "f16" && (gated || epilogue === "store");
	const value = halves ? `toHalves2(vec2<f32>(${y(0)}, ${y(1)}))` : y(0);
	const overhangs = Math.ceil(rows / groupRows) * groupRows > stride(rows);
	const guard = overhangs ? `if (firstRow + row < ${stride(rows)}u) ` : "";
	const body = `    let token = o / ${words}u;
    let row = o % ${words}u * ${perWord}u;
    let at = token * ${outputStride / (halves ? 2 : 1)}u + (firstRow + row) / ${perWord}u;
    ${guard}{ output[at] ${epilogue === "add" ? "+=" : "="} ${value}; }`;
	return `  for (var o = thread; o < ${count}u; o += ${options.threads}u) {
${body}
  }`;
}
