/** RMSNorm of all query heads of a token together, and of all its key heads (OLMo 2), before rope_and_cache. One workgroup for each. */
import type { Heads } from "../../program.ts";
import type { Abilities } from "../device.ts";
import type { Binding, Kernel } from "../kernel.ts";
import { type Storage, stride8 } from "../layout.ts";
import { each, HALVES } from "../wgsl.ts";
import { ATTENTION_MAIN, headAccess, rowStrides } from "./attention-text.ts";
import { subgroupLines, workgroupSum } from "./reduce.ts";
import { threadsFor } from "./rms-norm.ts";

export interface NormHeadsOptions {
	readonly heads: Heads;
	/** Of qkv. */
	readonly storage: Storage;
	/** null: those heads stay, and there is no binding of that name. */
	readonly qNormEps: number | null;
	readonly kNormEps: number | null;
}

/** Weights of elements d .. d + 3 of a head, which begins anywhere in them; those beyond the head may be any. */
const weightText = (
	name: string,
	headDim: number,
	numHeads: number,
): string => `
fn ${name}Of(head: u32, d: u32) -> vec4<f32> {
  let wanted = vec4<u32>(head * ${headDim}u + d) + vec4<u32>(0u, 1u, 2u, 3u);
  let places = min(wanted, vec4<u32>(${numHeads * headDim - 1}u));
  return vec4<f32>(${["x", "y", "z", "w"].map((i) => `${name}[places.${i}]`).join(", ")});
}`;

/**
 * qkv[t][q heads] = x / sqrt(mean(x²) + eps) · qNorm, x being all of them, and the k heads alike with kNorm: f32 [heads · headDim].
 * bindings: qkv, (qNorm), (kNorm). Grid: (T, 2): queries, keys.
 */
export function normHeads(
	options: NormHeadsOptions,
	abilities: Abilities,
): Kernel {
	const { heads, storage, qNormEps, kNormEps } = options;
	const { numHeads, numKvHeads, headDim } = heads;
	const qkv = headAccess("qkv", storage, headDim);
	const fours = stride8(headDim) / 4;
	const most = Math.max(numHeads, numKvHeads) * fours;
	const threads = threadsFor(most, abilities);
	const perThread = Math.ceil(most / threads);
	const norm = (name: string, eps: number | null): Binding[] =>
		eps === null ? [] : [[name, "read", "array<f32>"]];
	const either = (ofQueries: string, ofKeys: string) =>
		`select(${ofKeys}, ${ofQueries}, isQuery)`;
	const eachFour = (text: (i: number) => string) =>
		each(
			perThread,
			(i) => `  {
    let n = thread + ${i * threads}u;
    if (n < count * ${fours}u) {
${text(i)}
    }
  }`,
		);
	const weighted = (name: string, eps: number | null, isWanted: string) =>
		eps === null
			? ""
			: `      if (${isWanted}) { store_qkv(start + n / ${fours}u * ${headDim}u, d, x * scale * ${name}Of(n / ${fours}u, d)); }`;
	return {
		label: `norm_heads_${storage}_${numHeads}x${numKvHeads}x${headDim}_eps${qNormEps},${kNormEps}_${threads}`,
		bindings: [
			["qkv", "write", qkv.type],
			...norm("qNorm", qNormEps),
			...norm("kNorm", kNormEps),
		],
		code: `${subgroupLines(abilities.subgroupSize)}${HALVES}${qkv.load}${qkv.store}
${qNormEps === null ? "" : weightText("qNorm", headDim, numHeads)}
${kNormEps === null ? "" : weightText("kNorm", headDim, numKvHeads)}
${workgroupSum(threads, abilities.subgroupSize)}
${ATTENTION_MAIN(threads)}
  let isQuery = group.y == 0u;
  let count = ${either(`${numHeads}u`, `${numKvHeads}u`)};
  let start = group.x * ${rowStrides(heads).qkv}u + ${either("0u", `${numHeads * headDim}u`)};
  var squares = 0.0;
${each(perThread, (i) => `  var x${i} = vec4<f32>();`)}
${eachFour(
	(
		i,
	) => `      x${i} = load_qkv(start + n / ${fours}u * ${headDim}u, n % ${fours}u * 4u);
      squares += dot(x${i}, x${i});`,
)}
  let square = workgroupSum(squares, thread);
  let scale = 1.0 / sqrt(square / (f32(count) * ${headDim}.0) + ${either(`f32(${qNormEps ?? 1})`, `f32(${kNormEps ?? 1})`)});
${eachFour(
	(i) => `      let x = x${i};
      let d = n % ${fours}u * 4u;
${weighted("qNorm", qNormEps, "isQuery")}
${weighted("kNorm", kNormEps, "!isQuery")}`,
)}
}`,
	};
}

export const normHeadsGrid = (numTokens: number): [number, number] => [
	numTokens,
	2,
];
