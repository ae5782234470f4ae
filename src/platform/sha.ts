/**
 * SHA-1 and SHA-256 of bytes as they arrive (FIPS 180-4), for browsers, whose own digests want all of it at once. Knows no files.
 */
import type { Digest } from "./file-system.ts";

const BLOCK_BYTES = 64;

/** Mixes one block, given as 16 big-endian words at the start of `words`, into `state`. */
type Mix = (state: Uint32Array, words: Uint32Array) => void;

export function createDigest(algorithm: "sha1" | "sha256"): Digest {
	const { initial, mix } = algorithm === "sha1" ? SHA1 : SHA256;
	const state = Uint32Array.from(initial);
	const words = new Uint32Array(80);
	const block = new Uint8Array(BLOCK_BYTES);
	const view = new DataView(block.buffer);
	let numBytes = 0;

	const mixBlock = () => {
		for (let i = 0; i < 16; i++) words[i] = view.getUint32(4 * i);
		mix(state, words);
	};
	const update = (data: Uint8Array) => {
		for (let at = 0; at < data.length; ) {
			const filled = numBytes % BLOCK_BYTES;
			const count = Math.min(BLOCK_BYTES - filled, data.length - at);
			block.set(data.subarray(at, at + count), filled);
			at += count;
			numBytes += count;
			if (numBytes % BLOCK_BYTES === 0) mixBlock();
		}
	};
	return {
		update,
		/** Ends the digest. */
		hex() {
			const bits = BigInt(numBytes) * 8n;
			const length = new DataView(new ArrayBuffer(8));
			length.setBigUint64(0, bits);
			update(Uint8Array.of(0x80));
			const rest =
				(2 * BLOCK_BYTES - 8 - (numBytes % BLOCK_BYTES)) % BLOCK_BYTES;
			update(new Uint8Array(rest));
			update(new Uint8Array(length.buffer));
			return Array.from(state, (word) =>
				word.toString(16).padStart(8, "0"),
			).join("");
		},
	};
}

const SHA1_ROUNDS = Int32Array.of(
	0x5a827999,
	0x6ed9eba1,
	0x8f1bbcdc,
	0xca62c1d6,
);

const SHA1 = {
	initial: [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0],
	mix(state: Uint32Array, words: Uint32Array) {
		for (let i = 16; i < 80; i++) {
			const word = words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16];
			words[i] = (word << 1) | (word >>> 31);
		}
		let a = state[0] | 0;
		let b = state[1] | 0;
		let c = state[2] | 0;
		let d = state[3] | 0;
		let e = state[4] | 0;
		for (let i = 0; i < 80; i++) {
			const f =
				i < 20
					? choose(b, c, d)
					: i >= 40 && i < 60
						? most(b, c, d)
						: b ^ c ^ d;
			const turned = (a << 5) | (a >>> 27);
			const next = (turned + f + e + SHA1_ROUNDS[(i / 20) | 0] + words[i]) | 0;
			e = d;
			d = c;
			c = (b << 30) | (b >>> 2);
			b = a;
			a = next;
		}
		state[0] += a;
		state[1] += b;
		state[2] += c;
		state[3] += d;
		state[4] += e;
	},
} satisfies { initial: readonly number[]; mix: Mix };

const SHA256 = {
	/** The first 32 bits of the fractions of the square roots of the first 8 primes. */
	initial: firstPrimes(8).map((p) => fraction(Math.sqrt(p))),
	mix: mixSha256,
} satisfies { initial: readonly number[]; mix: Mix };

function mixSha256(state: Uint32Array, w: Uint32Array): void {
	for (let i = 16; i < 64; i++) {
		const x = w[i - 15];
		const y = w[i - 2];
		const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
		const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
		w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
	}
	let a = state[0] | 0;
	let b = state[1] | 0;
	let c = state[2] | 0;
	let d = state[3] | 0;
	let e = state[4] | 0;
	let f = state[5] | 0;
	let g = state[6] | 0;
	let h = state[7] | 0;
	for (let i = 0; i < 64; i++) {
		const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
		const t1 = (h + s1 + choose(e, f, g) + ROUNDS[i] + w[i]) | 0;
		const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
		const t2 = (s0 + most(a, b, c)) | 0;
		h = g;
		g = f;
		f = e;
		e = (d + t1) | 0;
		d = c;
		c = b;
		b = a;
		a = (t1 + t2) | 0;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
	state[5] += f;
	state[6] += g;
	state[7] += h;
}

/** The same of the cube roots of the first 64 primes. */
const ROUNDS = Int32Array.from(firstPrimes(64), (p) => fraction(Math.cbrt(p)));

function choose(which: number, yes: number, no: number): number {
	return (which & yes) | (~which & no);
}

function most(a: number, b: number, c: number): number {
	return (a & b) ^ (a & c) ^ (b & c);
}

function rotate(x: number, count: number): number {
	return (x >>> count) | (x << (32 - count));
}

function fraction(x: number): number {
	return Math.floor((x % 1) * 2 ** 32);
}

function firstPrimes(count: number): number[] {
	const primes: number[] = [];
	for (let n = 2; primes.length < count; n++)
		if (primes.every((p) => n % p !== 0)) primes.push(n);
	return primes;
}
