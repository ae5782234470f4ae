/**
 * The draw as text: an exponential race, as the reference's. A token's score is value + g with g = −log E, E exponential and made
 * from a hash of (token, position, seed). Scores are compared by their differences, which keep the digits that sums would lose.
 */
import { each } from "../wgsl.ts";
import { LIMIT, NONE } from "./sample-row.ts";

/** −log(1 − u) / u for 0 ≤ u ≤ ¼, by falling powers: a Chebyshev fit, relative error 2e-10 before rounding. */
const SERIES = [
	0.3349906802177429, 0.040792230516672134, 0.1902793049812317,
	0.1970776468515396, 0.2501929700374603, 0.33332714438438416,
	0.5000000596046448, 1,
];

/** `gumbels(token, row)`: g of four tokens from `token` on. */
export const GUMBELS = `
/** First word of pcg4d: see hash4 of the reference. */
fn hash4(tokens: vec4<u32>, row: Row) -> vec4<u32> {
  let y0 = row.position * 1664525u + 1013904223u;
  let z0 = row.seedHigh * 1664525u + 1013904223u;
  let w0 = row.seedLow * 1664525u + 1013904223u;
  var x = tokens * 1664525u + (1013904223u + y0 * w0);
  var y = y0 + z0 * x;
  let z = z0 + x * y;
  var w = w0 + y * z;
  x ^= x >> vec4<u32>(16u);
  y ^= y >> vec4<u32>(16u);
  w ^= w >> vec4<u32>(16u);
  return x + y * w;
}
fn gumbels(token: u32, row: Row) -> vec4<f32> {
  let bits = hash4(vec4<u32>(token) + vec4<u32>(0u, 1u, 2u, 3u), row);
  // u below a quarter by its series, else by the logarithm of 1 − u; either is exact to the last of its own digits.
  let isSmall = bits < vec4<u32>(0x40000000u);
  let u = (vec4<f32>(select(~bits, bits, isSmall)) + 0.5) * ${2 ** -32};
  var series = vec4<f32>(${SERIES[0]});
${SERIES.slice(1)
	.map((c) => `  series = fma(series, u, vec4<f32>(${c}));`)
	.join("\n")}
  return -log(select(-log(u), u * series, isSmall));
}`;

/** The best of what a thread has seen: `challenge` four tokens in rising order, lower ids win ties. */
export const BEST = `
struct Best { value: f32, g: f32, token: u32 }
fn noBest() -> Best { return Best(-${LIMIT}f, 0.0, ${NONE}u); }
fn challengeOne(best: Best, value: f32, g: f32, token: u32) -> Best {
  // Infinities are all alike.
  let own = select(g, 0.0, abs(value) >= ${LIMIT}f);
  let lead = (value - best.value) + (own - best.g);
  let wins = lead > 0.0 || (lead == 0.0 && token < best.token);
  if (wins) { return Best(value, own, token); }
  return best;
}
fn challenge(best: Best, value: vec4<f32>, g: vec4<f32>, token: u32) -> Best {
  var b = best;
${each(4, (i) => `  b = challengeOne(b, value[${i}], g[${i}], token + ${i}u);`)}
  return b;
}`;

/** `bestOfAll(best, thread)`: the best of all threads, in thread 0 alone. `threads`: a power of two */
export const bestOfAll = (threads: number): string => `
var<workgroup> bests: array<Best, ${threads}>;
fn bestOfAll(mine: Best, thread: u32) -> Best {
  var best = mine;
  bests[thread] = best;
  workgroupBarrier();
  for (var half = ${Math.floor(threads / 2)}u; half > 0u; half /= 2u) {
    if (thread < half) {
      let other = bests[thread + half];
      best = challengeOne(best, other.value, other.g, other.token);
      bests[thread] = best;
    }
    workgroupBarrier();
  }
  return best;
}`;
