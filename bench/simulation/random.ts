/** Seeded numbers for the simulation: xorshift over 32 bits. */
export interface Random {
	/** In [0, 1). */
	uniform(): number;
	/** Times between events that come at random, `mean` apart on average. */
	exponential(mean: number): number;
}

export function createRandom(seed: number): Random {
	let state = Math.imul(seed + 1, 0x9e3779b1) || 1;
	const uniform = () => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return (state >>> 0) / 2 ** 32;
	};
	return {
		uniform,
		exponential: (mean) => -mean * Math.log(1 - uniform()),
	};
}
