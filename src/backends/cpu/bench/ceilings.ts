/** What the machine does at most, by the loops of assembly/ceiling.ts with the same threads. */
import type { Ceilings } from "../../kernel-bench.ts";
import { isQuantized, type WeightFormat } from "../format.ts";
import { bestMs, type Threads } from "./threads.ts";

/** The ways to multiply and add, by assembly/ceiling.ts's numbers. Products an instruction, with relaxed SIMD and without. */
const INSTRUCTIONS = {
	int16: { id: 0, products: [8, 8], name: "dot_i16x8_s + add" },
	int8: { id: 1, products: [16, 8], name: "relaxed_dot_i8x16_i7x16_s + add" },
	int8Four: {
		id: 2,
		products: [16, 8],
		name: "relaxed_dot_i8x16_i7x16_add_s",
	},
	float: { id: 3, products: [4, 4], name: "f32x4 multiply-add" },
} as const;

/** Flops per second at most for a format: with floats, or with the fastest integers there are here, whichever its kernels use. */
export function peakOf(format: WeightFormat, { peaks }: Ceilings): number {
	const wantsFloat = !isQuantized(format);
	const suited = peaks.filter(
		({ name }) => (name === INSTRUCTIONS.float.name) === wantsFloat,
	);
	return Math.max(...suited.map(({ flopsPerSecond }) => flopsPerSecond));
}

/** Larger than any cache. */
export const READ_BYTES = 256 * 2 ** 20;
const DOT_STRIDE = 4096;
/** Instructions of a round with 8 sums, and with 16. */
const ROUND = [256, 512] as const;

/** @param at READ_BYTES that may be overwritten */
export async function measureCeilings(
	threads: Threads,
	memory: WebAssembly.Memory,
	at: number,
	{
		numThreads,
		relaxed,
		sampleMs,
	}: {
		readonly numThreads: number;
		readonly relaxed: boolean;
		readonly sampleMs: number;
	},
): Promise<Ceilings> {
	// Pages nobody has written to are all the same zeros. As floats, bytes of 1 are small normal numbers.
	new Uint8Array(memory.buffer, at, READ_BYTES).fill(1);
	const read = (count: number) =>
		({ kind: "read", at, bytes: READ_BYTES, count }) as const;
	const readMs = await bestMs(threads, read, sampleMs);
	const peaks: { name: string; flopsPerSecond: number }[] = [];
	for (const { id, products, name } of Object.values(INSTRUCTIONS)) {
		let flopsPerSecond = 0;
		for (const wide of [false, true]) {
			const place = { at, stride: DOT_STRIDE, wide };
			const dot = (count: number) =>
				({ kind: "dot", instruction: id, ...place, count }) as const;
			const ms = await bestMs(threads, dot, sampleMs);
			const perRound = ROUND[wide ? 1 : 0] * products[relaxed ? 0 : 1];
			const flops = 2 * numThreads * perRound;
			flopsPerSecond = Math.max(flopsPerSecond, (1000 * flops) / ms);
		}
		peaks.push({ name, flopsPerSecond });
	}
	return { bytesPerSecond: (1000 * READ_BYTES) / readMs, peaks };
}
