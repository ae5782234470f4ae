/**
 * f32 rows → ggml's blocks, the plain way: largest magnitudes set the scales, numbers round to the nearest step; llama.cpp's own
 * tool searches for better scales. Layouts after ggml-common.h; shares no code with the reader in src/.
 */

export const BLOCK_TYPES = ["q8_0", "q4_0", "q4_k", "q6_k"] as const;
export type BlockType = (typeof BLOCK_TYPES)[number];

interface Quantizer {
	readonly length: number;
	readonly bytes: number;
	/** Writes one block; `out` holds zeros. */
	readonly write: (values: Float32Array, out: DataView) => void;
}

const QUANTIZERS: Readonly<Record<BlockType, Quantizer>> = {
	q8_0: { length: 32, bytes: 34, write: writeQ8_0 },
	q4_0: { length: 32, bytes: 18, write: writeQ4_0 },
	q4_k: { length: 256, bytes: 144, write: writeQ4K },
	q6_k: { length: 256, bytes: 210, write: writeQ6K },
};

/** Whether rows of this length are whole blocks. */
export const fitsBlocks = (type: BlockType, columns: number): boolean =>
	columns % QUANTIZERS[type].length === 0;

export function quantize(values: Float32Array, type: BlockType): Uint8Array {
	const { length, bytes, write } = QUANTIZERS[type];
	const out = new Uint8Array((values.length / length) * bytes);
	for (let block = 0; block * length < values.length; block++)
		write(
			values.subarray(block * length, (block + 1) * length),
			new DataView(out.buffer, block * bytes, bytes),
		);
	return out;
}

const largest = (values: Float32Array): number =>
	values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

const clamp = (x: number, low: number, high: number): number =>
	Math.min(high, Math.max(low, Math.round(x)));

/** The nearest whole number of steps; 0 where steps have no size. */
const steps = (x: number, step: number, low: number, high: number): number =>
	step === 0 ? 0 : clamp(x / step, low, high);

/** d, 32 int8. w = d · q */
function writeQ8_0(values: Float32Array, out: DataView): void {
	const d = Math.f16round(largest(values) / 127);
	out.setFloat16(0, d, true);
	values.forEach((x, i) => {
		out.setInt8(2 + i, steps(x, d, -127, 127));
	});
}

/** d, nibbles of elements i (low) and i + 16. w = d · (q − 8); the number of largest magnitude is met at q = 0. */
function writeQ4_0(values: Float32Array, out: DataView): void {
	const most = largest(values);
	const isNegative = values.includes(-most);
	const d = Math.f16round((isNegative ? most : -most) / 8);
	out.setFloat16(0, d, true);
	for (let i = 0; i < 16; i++) {
		const low = 8 + steps(values[i], d, -8, 7);
		const high = 8 + steps(values[i + 16], d, -8, 7);
		out.setUint8(2 + i, low | (high << 4));
	}
}

/** d, dmin, eight scales and minimums of six bits, nibbles. w = d · scale · q − dmin · minimum */
function writeQ4K(values: Float32Array, out: DataView): void {
	const groups = Array.from({ length: 8 }, (_, g) =>
		values.subarray(32 * g, 32 * g + 32),
	);
	const least = groups.map((group) => Math.max(0, -Math.min(...group)));
	const step = groups.map(
		(group, g) => (Math.max(0, Math.max(...group)) + least[g]) / 15,
	);
	const d = Math.f16round(Math.max(...step) / 63);
	const dmin = Math.f16round(Math.max(...least) / 63);
	out.setFloat16(0, d, true);
	out.setFloat16(2, dmin, true);
	for (const [g, group] of groups.entries()) {
		const scale = steps(step[g], d, 0, 63);
		const minimum = steps(least[g], dmin, 0, 63);
		putSixBits(out, g, scale, minimum);
		group.forEach((x, i) => {
			const q = steps(x + dmin * minimum, d * scale, 0, 15);
			orByte(out, 16 + (g >> 1) * 32 + i, q << (4 * (g & 1)));
		});
	}
}

/** The first four in six bits each, the last four as a nibble and the two upper bits that those leave free. */
function putSixBits(out: DataView, g: number, scale: number, minimum: number) {
	if (g < 4) {
		orByte(out, 4 + g, scale);
		orByte(out, 8 + g, minimum);
		return;
	}
	orByte(out, 8 + g, (scale & 15) | ((minimum & 15) << 4));
	orByte(out, g, (scale >> 4) << 6);
	orByte(out, 4 + g, (minimum >> 4) << 6);
}

/** Nibbles, two bits more, sixteen int8 scales, d. w = d · scale · (q − 32) */
function writeQ6K(values: Float32Array, out: DataView): void {
	const groups = Array.from({ length: 16 }, (_, g) =>
		values.subarray(16 * g, 16 * g + 16),
	);
	const step = groups.map((group) => largest(group) / 31);
	const d = Math.f16round(Math.max(...step) / 127);
	out.setFloat16(208, d, true);
	for (const [g, group] of groups.entries()) {
		const scale = steps(step[g], d, 0, 127);
		out.setInt8(192 + g, scale);
		// Halves of 128 elements; in each, 32 by 32: which nibble, which pair of bits.
		const half = g >> 3;
		const part = (g & 7) >> 1;
		group.forEach((x, i) => {
			const q = 32 + steps(x, d * scale, -32, 31);
			const at = (g & 1) * 16 + i;
			const nibble = (q & 15) << (4 * (part >> 1));
			orByte(out, half * 64 + (part & 1) * 32 + at, nibble);
			orByte(out, 128 + half * 32 + at, (q >> 4) << (2 * part));
		});
	}
}

function orByte(out: DataView, at: number, bits: number): void {
	out.setUint8(at, out.getUint8(at) | bits);
}
