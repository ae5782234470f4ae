/** The products of a matrix-vector kernel along K, as text. It has `x` or `residual` and `normWeight`, `weight`, row<r>, teamRow, teamLane. */
import { stride } from "../layout.ts";
import { each, range } from "../wgsl.ts";
import type { VectorPlan } from "./linear-vector-plan.ts";
import {
	NUM_USED,
	slotColumns,
	smallStride,
	usedSlot,
} from "./lora-columns.ts";
import { BIASED_QUANTS } from "./weight-unit.ts";

/** y<r>_<t>: sums of each row and token; squares<t>: of the residual's squares, for a norm. */
export function accumulators(plan: VectorPlan): string {
	const { tokens, normEps } = plan.options;
	const squares = (t: number) => `  var squares${t} = 0.0;`;
	return [
		eachRowAndToken(plan, (r, t) => `  var y${r}_${t} = 0.0;`),
		normEps === null ? "" : each(tokens, squares),
	].join("\n");
}

const eachRowAndToken = (
	{ options: { rowsPerTeam, tokens } }: VectorPlan,
	text: (r: number, t: number) => string,
): string => each(rowsPerTeam, (r) => each(tokens, (t) => text(r, t)));

/** Whole steps of all lanes of the team in a loop, `unroll` a turn; then the whole steps left; then the lanes of the last units. */
export function overColumns(plan: VectorPlan): string {
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

/**
 * The columns of adapters, a vec4 a lane. Sums are multiplied once more at their end, by a format's factor and by the norm's scale: the one
 * is taken off here, the other `small` lacks.
 */
export function overLoraColumns(plan: VectorPlan): string {
	const { shape, options, teamLanes, unit } = plan;
	const { lora } = shape;
	if (lora === undefined) return "";
	const { rowsPerTeam } = options;
	const fours = lora.rank / 4;
	const share = unit.factor === 1 ? "" : ` * ${1 / unit.factor}`;
	const small = (r: number, t: number) =>
		`small4(${t * (smallStride(lora) / 4)}u + u * ${slotColumns(lora) / 4}u + target${r} + four)`;
	return `${each(rowsPerTeam, (r) => `  let target${r} = targetOf(teamRow + ${r}u) * ${fours}u;`)}
  for (var u = 0u; u < ${NUM_USED}; u++) {
    let slot = ${usedSlot("u")};
    for (var four = teamLane; four < ${fours}u; four += ${teamLanes}u) {
${each(rowsPerTeam, (r) => `      let b${r} = b4(slot, teamRow + ${r}u, four)${share};`)}
${eachRowAndToken(plan, (r, t) => `      y${r}_${t} += dot(b${r}, ${small(r, t)});`)}
    }
  }`;
}

/** The products of several units: all loads of the weight first. */
function steps(plan: VectorPlan, unitsAt: readonly string[]): string {
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
function products(plan: VectorPlan, u: number): string {
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
function piece(plan: VectorPlan, u: number, fours: readonly number[]): string {
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
	{ shape, unit, rowUnits, xStorage, options }: VectorPlan,
	u: number,
	t: number,
	fours: readonly number[],
): string {
	const { experts } = shape;
	const start = (length: number) =>
		experts === undefined
			? `${t * length}u`
			: `group.y / ${experts.pairsPerRow}u * ${length}u`;
	const at = (perUnit: number, i: number) =>
		`${start(rowUnits * perUnit)} + unit${u} * ${perUnit}u + ${i}u`;
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
