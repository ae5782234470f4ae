/**
 * f32 arithmetic as WGSL text, rounded to the nearest number and to the even one of two, on any device. WGSL's own may be off by some last
 * bits (divisions), be fused, or round another way; integers are exact.
 */

/**
 * Number: mantissa · 2^exponent, the mantissa of 24 bits. Signs are the caller's.
 * numberOf(bits of a positive f32) · bitsOf(n), 0 below the least normal f32 · over127(n) · reciprocal(n) · product(a, b): each rounded as
 * an f32 is, without a limit on the exponent.
 */
export const EXACT_NUMBER = `
struct Number { mantissa: u32, exponent: i32 }
fn numberOf(bits: u32) -> Number {
  let exponent = i32(bits >> 23u);
  if (exponent > 0) { return Number((bits & 0x7fffffu) | 0x800000u, exponent - 150); }
  let shift = countLeadingZeros(bits) - 8u;
  return Number(bits << shift, -149 - i32(shift));
}
fn bitsOf(n: Number) -> u32 {
  if (n.exponent <= -150) { return 0u; }
  return (u32(n.exponent + 150) << 23u) | (n.mantissa & 0x7fffffu);
}
// quotient + remainder / divisor.
fn rounded(quotient: u32, remainder: u32, divisor: u32, exponent: i32) -> Number {
  let twice = 2u * remainder;
  let isUp = twice > divisor || (twice == divisor && (quotient & 1u) == 1u);
  let mantissa = quotient + select(0u, 1u, isUp);
  if (mantissa == 0x1000000u) { return Number(0x800000u, exponent + 1); }
  return Number(mantissa, exponent);
}
fn over127(n: Number) -> Number {
  let shift = select(7u, 6u, (n.mantissa << 7u) / 127u >= 0x1000000u);
  let dividend = n.mantissa << shift;
  return rounded(dividend / 127u, dividend % 127u, 127u, n.exponent - i32(shift));
}
fn reciprocal(n: Number) -> Number {
  if (n.mantissa == 0x800000u) { return Number(0x800000u, -46 - n.exponent); }
  var remainder = 0x800000u;
  var quotient = 0u;
  for (var i = 0; i < 3; i++) {
    remainder <<= 8u;
    quotient = (quotient << 8u) | (remainder / n.mantissa);
    remainder %= n.mantissa;
  }
  return rounded(quotient, remainder, n.mantissa, -47 - n.exponent);
}
fn product(a: Number, b: Number) -> Number {
  let a1 = a.mantissa >> 12u;
  let a0 = a.mantissa & 0xfffu;
  let b1 = b.mantissa >> 12u;
  let b0 = b.mantissa & 0xfffu;
  let middle = a1 * b0 + a0 * b1;
  let below = a0 * b0 + ((middle & 0xfffu) << 12u);
  let high = a1 * b1 + (middle >> 12u) + (below >> 24u);
  let low = below & 0xffffffu;
  let exponent = a.exponent + b.exponent;
  if (high >= 0x800000u) { return rounded(high, low, 0x1000000u, exponent + 24); }
  return rounded((high << 1u) | (low >> 23u), low & 0x7fffffu, 0x800000u, exponent + 23);
}`;

/** halfOf(bits of an f32): bits of the half; what none can hold, and NaN, is NaN. */
export const HALF_OF = `
fn halfOf(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x477fe000u) { return sign | 0x7e00u; }
  if (magnitude >= 0x38800000u) {
    let rebiased = magnitude - 0x38000000u;
    return sign | ((rebiased + 0xfffu + ((rebiased >> 13u) & 1u)) >> 13u);
  }
  let exponent = magnitude >> 23u;
  if (exponent < 102u) { return sign; }
  let shift = 126u - exponent;
  let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  return sign | ((mantissa + (1u << (shift - 1u)) - 1u + ((mantissa >> shift) & 1u)) >> shift);
}`;
