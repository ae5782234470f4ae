// What the tests call directly.
import { exp4 } from "./simd";

/** out[i] = e^x[i] for n floats, n a multiple of 4. */
export function exp4_test(x: usize, n: i32, out: usize): void {
	for (let i: usize = 0; i < <usize>n * 4; i += 16) v128.store(out + i, exp4(v128.load(x + i)));
}
