/** Pieces of WGSL text that kernels share. Halves are unpacked with unpack2x16float, which every device has. */
import { MAX_HALF } from "../../weights/convert.ts";
import type { Storage } from "./layout.ts";

/** A number as WGSL reads it back, whatever its size. */
export const f32 = (x: number): string => `f32(${x})`;

/** `[0, n)` */
export const range = (n: number): number[] => [...Array(n).keys()];

/** One piece of text per index, under one another. */
export const each = (n: number, text: (i: number) => string): string =>
	range(n).map(text).join("\n");

/** Type of the array elements that hold four activations. */
export const vec4Type = (storage: Storage): string =>
	storage === "f16" ? "vec2<u32>" : "vec4<f32>";

/** Four f32 of an element of `vec4Type`. */
export const unpack4 = (storage: Storage, value: string): string =>
	storage === "f16" ? `halves4(${value})` : value;

/** An element of `vec4Type` from a vec4<f32>. Halves saturate; one NaN makes all four NaN. */
export const pack4 = (storage: Storage, value: string): string =>
	storage === "f16" ? `toHalves4(${value})` : value;

/** As pack4, but what no half can hold becomes NaN, and with it the logits: they are refused rather than wrong. */
export const pack4OrNan = (storage: Storage, value: string): string =>
	storage === "f16" ? `toHalves4OrNan(${value})` : value;

/** Two halves that are NaN. */
const NAN_HALVES = 0x7e007e00;

export const HALVES = `
fn halves4(x: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(x.x), unpack2x16float(x.y));
}
fn magnitudes(x: vec4<f32>) -> vec4<u32> { return bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu); }
fn toHalves4(x: vec4<f32>) -> vec2<u32> {
  if (any(magnitudes(x) > vec4<u32>(0x7f800000u))) { return vec2<u32>(${NAN_HALVES}u); }
  let y = clamp(x, vec4<f32>(-${MAX_HALF}.0), vec4<f32>(${MAX_HALF}.0));
  return vec2<u32>(pack2x16float(y.xy), pack2x16float(y.zw));
}
fn toHalves4OrNan(x: vec4<f32>) -> vec2<u32> {
  if (any(magnitudes(x) > vec4<u32>(0x477fe000u))) { return vec2<u32>(${NAN_HALVES}u); }
  return vec2<u32>(pack2x16float(x.xy), pack2x16float(x.zw));
}`;
