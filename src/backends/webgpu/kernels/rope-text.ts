/**
 * Norm and rotary embedding of heads as text, four elements at a time. Heads lie in workgroup memory, which a kernel declares:
 * `rows`: vec4<f32>, elements times the norm's weight, and `squares`: f32, the sum of squares of four elements before that. Both have
 * an element for every four; those of a head begin at `row`.
 */
import type { Binding } from "../kernel.ts";
import { f32 } from "../wgsl.ts";

export interface RopeOptions {
	/** Elements of a head that turn, the first ones: 2 · inverseFrequencies.length ≤ headDim. 0: none, and no table. */
	readonly ropeDims: number;
	/** null: no norm, and no binding of that name. */
	readonly qNormEps: number | null;
	readonly kNormEps: number | null;
}

const isWide = (ropeDims: number): boolean => ropeDims % 8 === 0;

/** (ropeTable), (qNorm), (kNorm) */
export function ropeBindings(o: RopeOptions): Binding[] {
	const norm = (name: string, eps: number | null): Binding[] =>
		eps === null ? [] : [[name, "read", "array<vec4<f32>>"]];
	return [
		...tableBinding(o.ropeDims),
		...norm("qNorm", o.qNormEps),
		...norm("kNorm", o.kNormEps),
	];
}

function tableBinding(ropeDims: number): Binding[] {
	if (ropeDims === 0) return [];
	const type = isWide(ropeDims) ? "vec4<f32>" : "vec2<f32>";
	return [["ropeTable", "read", `array<${type}>`]];
}

/** x times the norm's weight. Reads isQuery, isKey and d, the first of the four elements. */
export const weightText = ({ qNormEps, kNormEps }: RopeOptions): string =>
	`${qNormEps === null ? "" : "  if (isQuery) { x *= qNorm[d / 4u]; }"}
${kNormEps === null ? "" : "  if (isKey) { x *= kNorm[d / 4u]; }"}`;

/**
 * x, turned by the angle of `position`, over the root of its head's mean square: norm and turning are both linear, so what is
 * turned may be scaled afterwards. Reads isQuery, isKey, row and d.
 */
export const turnText = (
	{ ropeDims, qNormEps, kNormEps }: RopeOptions,
	headDim: number,
	fours: number,
	position: string,
): string => `  var scale = 1.0;
${qNormEps === null ? "" : normScale("isQuery", fours, headDim, qNormEps)}
${kNormEps === null ? "" : normScale("isKey", fours, headDim, kNormEps)}
${ropeDims === 0 ? "" : `  if ((isQuery || isKey) && d < ${ropeDims}u) { x = turn(x, row, d, ${position}); }`}
  x *= scale;`;

const normScale = (
	which: string,
	fours: number,
	headDim: number,
	eps: number,
): string => `
  if (${which}) {
    var sum = 0.0;
    for (var i = 0u; i < ${fours}u; i++) { sum += squares[row + i]; }
    scale = 1.0 / sqrt(sum / ${headDim}.0 + ${f32(eps)});
  }`;

/** The function `turn` that turnText calls. */
export function turnFunction(ropeDims: number): string {
	if (ropeDims === 0) return "";
	return isWide(ropeDims) ? turnFours(ropeDims) : turnOnes(ropeDims);
}

/** Halves of a multiple of four: the pairs of four elements are four elements too. */
function turnFours(ropeDims: number): string {
	const half = ropeDims / 2;
	return `
fn turn(x: vec4<f32>, row: u32, d: u32, position: u32) -> vec4<f32> {
  let isLow = d < ${half}u;
  let pair = select(d - ${half}u, d + ${half}u, isLow);
  let at = (position * ${half}u + min(d, pair)) / 2u;
  let a = ropeTable[at];
  let b = ropeTable[at + 1u];
  let sine = vec4<f32>(a.yw, b.yw) * select(1.0, -1.0, isLow);
  return x * vec4<f32>(a.xz, b.xz) + rows[row + pair / 4u] * sine;
}`;
}

function turnOnes(ropeDims: number): string {
	const half = ropeDims / 2;
	return `
fn turnOne(x: f32, row: u32, d: u32, position: u32) -> f32 {
  if (d >= ${ropeDims}u) { return x; }
  let isLow = d < ${half}u;
  let pair = select(d - ${half}u, d + ${half}u, isLow);
  let angle = ropeTable[position * ${half}u + min(d, pair)];
  return x * angle.x + rows[row + pair / 4u][pair % 4u] * angle.y * select(1.0, -1.0, isLow);
}
fn turn(x: vec4<f32>, row: u32, d: u32, position: u32) -> vec4<f32> {
  return vec4<f32>(turnOne(x.x, row, d, position), turnOne(x.y, row, d + 1u, position), turnOne(x.z, row, d + 2u, position), turnOne(x.w, row, d + 3u, position));
}`;
}
