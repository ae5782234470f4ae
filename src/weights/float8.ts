/**
 * Floats of 8 bits → f32, exactly, by table. Knows nothing of tensors. Formats: "FP8 Formats for Deep Learning" (Micikevicius et al. 2022),
 * scales: OCP Microscaling Formats 1.0.
 */

/** 1 sign, 4 exponent (bias 7), 3 fraction bits; no infinities, S.1111.111 is NaN, largest 448. safetensors' F8_E4M3. */
export function float8E4m3Table(): Float32Array {
	return makeTable(4, 3, (exponent, fraction) =>
		exponent === 15 && fraction === 7 ? Number.NaN : undefined,
	);
}

/** 1 sign, 5 exponent (bias 15), 2 fraction bits; infinities and NaNs as in f16, whose upper half it is. safetensors' F8_E5M2. */
export function float8E5m2Table(): Float32Array {
	return makeTable(5, 2, (exponent, fraction) => {
		if (exponent !== 31) return undefined;
		return fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
	});
}

/** An exponent alone: 2^(byte − 127), 255 is NaN. safetensors' F8_E8M0. */
export function float8E8m0Table(): Float32Array {
	return Float32Array.from({ length: 256 }, (_, byte) =>
		byte === 255 ? Number.NaN : 2 ** (byte - 127),
	);
}

/** `special` gives the values that are no numbers. */
function makeTable(
	exponentBits: number,
	fractionBits: number,
	special: (exponent: number, fraction: number) => number | undefined,
): Float32Array {
	const bias = 2 ** (exponentBits - 1) - 1;
	const numFractions = 2 ** fractionBits;
	return Float32Array.from({ length: 256 }, (_, byte) => {
		const sign = byte < 128 ? 1 : -1;
		const fraction = byte % numFractions;
		const exponent = ((byte % 128) >>> fractionBits) | 0;
		const size =
			special(exponent, fraction) ??
			(exponent === 0
				? (fraction / numFractions) * 2 ** (1 - bias)
				: (1 + fraction / numFractions) * 2 ** (exponent - bias));
		return sign * size;
	});
}
