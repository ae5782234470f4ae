/**
 * A block of 32 numbers to q8_0 or q4_0, as WGSL text: the bits that ggml's quantize_row_q8_0_ref and quantize_row_q4_0_ref give
 * (ggml-quants.c), which round scale, reciprocal, product and sum to f32 one after another. Weights are often short numbers (bf16), many of
 * them just between two steps, so that the last bit of each decides. Scales below the least normal f32 count as none: there C's result is
 * undefined, and the half that is stored is 0. Loops, not unrolled: the text is long to compile and short to run.
 */
import { EXACT_NUMBER } from "./exact-number.ts";

/** A sum of `nibble` as it is kept. */
const fixed = (x: number) => x * 2 ** 25;

const NEAREST_BYTE = `
// round(x · inverse) with halves away from zero, in the low byte.
fn nearestByte(bits: u32, inverse: Number) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude == 0u || inverse.mantissa == 0u) { return 0u; }
  let p = product(numberOf(magnitude), inverse);
  let shift = u32(min(31, -p.exponent));
  let q = (p.mantissa + (1u << (shift - 1u))) >> shift;
  return select(q, 0u - q, (bits >> 31u) == 1u) & 0xffu;
}`;

const NIBBLE = `
// min(15, trunc(x · inverse + 8.5)). The sum has 25 fraction bits; one that f32 would round up to the next integer is taken up to it here.
fn nibble(bits: u32, inverse: Number, isNegative: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude == 0u || inverse.mantissa == 0u) { return 8u; }
  let p = product(numberOf(magnitude), inverse);
  let isBelow = (bits >> 31u) != isNegative;
  let shift = p.exponent + 25;
  let down = u32(clamp(-shift, 0, 31));
  let floored = select(p.mantissa >> down, (p.mantissa + (1u << down) - 1u) >> down, isBelow) << u32(max(shift, 0));
  let sum = select(${fixed(8.5)}u + floored, ${fixed(8.5)}u - floored, isBelow);
  let halfStep = 1u << (max(firstLeadingBit(sum), 24u) - 24u);
  return min(15u, (sum + halfStep) >> 25u);
}`;

/** Functions that `quantizeBlock` calls. */
export const quantizeFunctions = (format: "q8_0" | "q4_0"): string =>
	EXACT_NUMBER + (format === "q8_0" ? NEAREST_BYTE : NIBBLE);

const INVERSE = `  var inverse = Number(0u, 0);
  if (scale != 0u) { inverse = reciprocal(numberOf(scale)); }`;

/**
 * Statements that call setScale(block, f32 bits) and write `values`. They read `block`; `x`: bits of the 32 numbers; `extreme`: those of
 * the first that is largest.
 */
export const quantizeBlock = (format: "q8_0" | "q4_0"): string =>
	format === "q8_0" ? Q8_0 : Q4_0;

const Q8_0 = `  var scale = 0u;
  let amax = extreme & 0x7fffffffu;
  if (amax != 0u) { scale = bitsOf(over127(numberOf(amax))); }
  setScale(block, scale);
${INVERSE}
  for (var w = 0u; w < 8u; w++) {
    var word = 0u;
    for (var i = 0u; i < 4u; i++) { word |= nearestByte(x[4u * w + i], inverse) << (8u * i); }
    values[block * 8u + w] = word;
  }`;

const Q4_0 = `  let amax = extreme & 0x7fffffffu;
  let scale = select(0u, amax - ${3 << 23}u, amax >= ${4 << 23}u);
  let isNegative = 1u - (extreme >> 31u);
  setScale(block, scale | (isNegative << 31u));
${INVERSE}
  for (var w = 0u; w < 4u; w++) {
    var word = 0u;
    for (var i = 0u; i < 4u; i++) {
      let low = nibble(x[4u * w + i], inverse, isNegative);
      let high = nibble(x[16u + 4u * w + i], inverse, isNegative);
      word |= (low | (high << 4u)) << (8u * i);
    }
    values[block * 4u + w] = word;
  }`;
