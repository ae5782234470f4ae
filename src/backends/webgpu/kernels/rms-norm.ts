/**
 * RMSNorm of the residual (Zhang and Sennrich 2019), which may first take in what a split-K linear left, and that taking in
 * alone. Rows are f32 [stride(width)], held in registers by one workgroup a row.
 */
import type { Abilities } from "../device.ts";
import type { Binding, Kernel } from "../kernel.ts";
import { type Storage, stride } from "../layout.ts";
import { each, f32, HALVES, pack4OrNan, range, vec4Type } from "../wgsl.ts";
import type { Split } from "./linear.ts";
import { subgroupLines, workgroupSum } from "./reduce.ts";

export interface AddPartialsOptions {
	readonly width: number;
	readonly split: Split;
	readonly bias: boolean;
	/** Of what is added; absent: 1. */
	readonly scale?: number;
}

export interface RmsNormOptions {
	readonly width: number;
	readonly eps: number;
	/** Of the output. */
	readonly storage: Storage;
	/** Row r of the output is that of residual[rows[r]]; what partial sums add is then not written back. */
	readonly gather: boolean;
	/** Partial sums to add to the residual first. */
	readonly split: Split | null;
	/** Of the split linear. */
	readonly bias: boolean;
	/** Of what is added; absent: 1. */
	readonly scale?: number;
}

const MAX_THREADS = 256;

/** Threads for a row of `fours` vec4: a power of two, whole subgroups. */
export function threadsFor(fours: number, abilities: Abilities): number {
	const enough = 2 ** Math.ceil(Math.log2(fours));
	const least = Math.max(32, abilities.subgroupSize);
	const most = Math.min(MAX_THREADS, abilities.maxInvocations);
	return Math.min(most, Math.max(least, enough));
}

/** Runs `text` for each vec4 `at` of the row that is the thread's. */
export function eachFour(
	fours: number,
	threads: number,
	text: (i: number) => string,
): string {
	return each(Math.ceil(fours / threads), (i) => {
		const whole = (i + 1) * threads <= fours;
		const guard = whole ? "" : `if (thread + ${i * threads}u < ${fours}u) `;
		return `  ${guard}{
    let at = thread + ${i * threads}u;
${text(i)}
  }`;
	});
}

/** Partial sums and bias of vec4 `at` of row `token`. */
export function partialSum(split: Split, bias: boolean, fours: number): string {
	const terms = range(split.splits).map(
		(s) => `partials[(${s * split.rows}u + token) * ${fours}u + at]`,
	);
	return [...terms, ...(bias ? ["bias[at]"] : [])].join(" + ");
}

/** The residual's vec4 `at` of row `token` with its partial sums and bias. */
function taken(
	split: Split | null,
	bias: boolean,
	fours: number,
	scale = 1,
): string {
	const before = `residual[token * ${fours}u + at]`;
	if (split === null) return before;
	const sum = partialSum(split, bias, fours);
	return `${before} + ${scale === 1 ? sum : `${f32(scale)} * (${sum})`}`;
}

export function inputs(
	access: "read" | "write",
	split: Split | null,
	bias: boolean,
): Binding[] {
	return [
		["residual", access, "array<vec4<f32>>"],
		...(split ? ([["partials", "read", "array<vec4<f32>>"]] as const) : []),
		...(bias ? ([["bias", "read", "array<vec4<f32>>"]] as const) : []),
	];
}

export const splitLabel = (
	split: Split | null,
	bias: boolean,
	scale = 1,
): string =>
	split === null
		? ""
		: `_plus_${split.splits}x${split.rows}${bias ? "+bias" : ""}${scale === 1 ? "" : `_times${scale}`}`;

export const MAIN = (threads: number) =>
	`@compute @workgroup_size(${threads}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32)`;

/**
 * output[r] = x / sqrt(mean(x²) + eps) · weight with x = residual[t] + scale · (Σ_s partials[s][t] + bias), t = r or rows[r]. x goes back to
 * residual[t] where there are partials and no gather.
 * bindings: residual, (partials), (bias), (rows: u32), weight, output: `storage` [r][stride(width)]. Grid: one workgroup a row.
 */
export function rmsNorm(options: RmsNormOptions, abilities: Abilities): Kernel {
	const threads = threadsFor(stride(options.width) / 4, abilities);
	return {
		label: normLabel(options),
		bindings: normBindings(options),
		code: `${subgroupLines(abilities.subgroupSize)}${HALVES}${workgroupSum(threads, abilities.subgroupSize)}
${MAIN(threads)} {
${normText(options, threads)}
}`,
	};
}

const writesBack = ({ split, gather }: RmsNormOptions): boolean =>
	split !== null && !gather;

export function normLabel(options: RmsNormOptions): string {
	const { width, eps, storage, gather, split, bias, scale } = options;
	return `rms_norm_${storage}_${width}_${eps}${gather ? "_gather" : ""}${splitLabel(split, bias, scale)}`;
}

export function normBindings(options: RmsNormOptions): Binding[] {
	const { storage, gather, split, bias } = options;
	return [
		...inputs(writesBack(options) ? "write" : "read", split, bias),
		...(gather ? ([["rows", "read", "array<u32>"]] as const) : []),
		["weight", "read", "array<vec4<f32>>"],
		["output", "write", `array<${vec4Type(storage)}>`],
	];
}

/** `keep`: text that has the thread's i-th vec4 `y` of the output before it is rounded. */
export function normText(
	options: RmsNormOptions,
	threads: number,
	keep: (i: number) => string = () => "",
): string {
	const { width, eps, storage, gather, split, bias, scale } = options;
	const fours = stride(width) / 4;
	const back = writesBack(options)
		? `\n    residual[token * ${fours}u + at] = x;`
		: "";
	return `  let token = ${gather ? "rows[group.x]" : "group.x"};
  var squares = vec4<f32>();
${each(Math.ceil(fours / threads), (i) => `  var x${i} = vec4<f32>();`)}
${eachFour(
	fours,
	threads,
	(i) => `    let x = ${taken(split, bias, fours, scale)};
    x${i} = x;
    squares = fma(x, x, squares);${back}`,
)}
  let square = workgroupSum(dot(squares, vec4<f32>(1.0)), thread);
  let scale = 1.0 / sqrt(square / ${width}.0 + ${eps});
${eachFour(
	fours,
	threads,
	(i) => `    let y = x${i} * scale * weight[at];
    output[group.x * ${fours}u + at] = ${pack4OrNan(storage, "y")};
${keep(i)}`,
)}`;
}

/**
 * residual[t] += scale · (Σ_s partials[s][t] + bias).  bindings: residual, partials, (bias). Grid: one workgroup a token.
 */
export function addPartials(
	{ width, split, bias, scale }: AddPartialsOptions,
	abilities: Abilities,
): Kernel {
	const fours = stride(width) / 4;
	const threads = threadsFor(fours, abilities);
	return {
		label: `add_partials_${width}${splitLabel(split, bias, scale)}`,
		bindings: inputs("write", split, bias),
		code: `${MAIN(threads)} {
  let token = group.x;
${eachFour(
	fours,
	threads,
	() =>
		`    residual[token * ${fours}u + at] = ${taken(split, bias, fours, scale)};`,
)}
}`,
	};
}

/** One workgroup a row, for both. */
export const rowGrid = (numRows: number): [number, number, number] => [
	numRows,
	1,
	1,
];
