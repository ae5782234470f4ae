/** A seeded source of numbers for tests: xorshift, good enough for inputs. */
export function randomSource(seed: number) {
	let state = (seed * 2654435761 + 12345) | 0 || 1;
	const uniform = () => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return (state >>> 0) / 2 ** 32;
	};
	const normal = () =>
		Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
	return {
		uniform,
		normal,
		/** 0 .. n−1 */
		below: (n: number) => Math.floor(uniform() * n),
		/** Normal numbers, about one in 23 of them `outlier` times as large. */
		vector: (length: number, outlier = 1): Float32Array =>
			Float32Array.from({ length }, () =>
				uniform() < 1 / 23 ? outlier * normal() : normal(),
			),
		shuffled<T>(list: readonly T[]): T[] {
			const result = [...list];
			for (let i = result.length - 1; i > 0; i--) {
				const j = Math.floor(uniform() * (i + 1));
				[result[i], result[j]] = [result[j], result[i]];
			}
			return result;
		},
	};
}

export type RandomSource = ReturnType<typeof randomSource>;
