/** Cosines and sines of every position, made once on the host, in the precision the reference has. */

import type { Rope } from "../../program.ts";

/**
 * f32 [maxModelLen][inverseFrequencies.length][2]: cosine and sine of position · inverseFrequencies[i], times scale. The angle is
 * rounded to f32, as transformers computes it.
 */
export function ropeTable(
	{ inverseFrequencies, scale }: Rope,
	maxModelLen: number,
): Float32Array<ArrayBuffer> {
	const half = inverseFrequencies.length;
	const table = new Float32Array(maxModelLen * half * 2);
	for (let position = 0; position < maxModelLen; position++)
		for (let i = 0; i < half; i++) {
			const angle = Math.fround(position * inverseFrequencies[i]);
			const at = (position * half + i) * 2;
			table[at] = scale * Math.cos(angle);
			table[at + 1] = scale * Math.sin(angle);
		}
	return table;
}
