/** Seeded damage to files: bytes, numbers that lie, cuts and shifts, most of it in the header, where it hurts. */
import type { RandomSource } from "./random.ts";

const ODD_NUMBERS: readonly bigint[] = [
	0n,
	1n,
	2n,
	31n,
	33n,
	255n,
	65_536n,
	2n ** 31n - 1n,
	2n ** 31n,
	2n ** 32n - 1n,
	2n ** 32n,
	2n ** 40n,
	2n ** 53n,
	2n ** 63n - 1n,
	2n ** 63n,
	2n ** 64n - 1n,
];

/** A copy with one to four kinds of damage. `headerBytes`: most damage is before it. */
export function damaged(
	bytes: Uint8Array,
	headerBytes: number,
	random: RandomSource,
): Uint8Array {
	let out: Uint8Array = bytes.slice();
	const count = 1 + random.below(4);
	for (let i = 0; i < count; i++) {
		const most = random.below(8) === 0 ? out.length : headerBytes;
		const at = random.below(Math.max(1, Math.min(most, out.length)));
		out = damagedAt(out, at, random);
	}
	return out;
}

function damagedAt(
	bytes: Uint8Array,
	at: number,
	random: RandomSource,
): Uint8Array {
	const kind = random.below(16);
	if (kind === 0) return bytes.subarray(0, at);
	if (kind === 1) return spliced(bytes, at, random.below(12), 0);
	if (kind === 2) return spliced(bytes, at, 0, 1 + random.below(12));
	if (kind < 8) setNumber(bytes, at, random);
	else if (kind < 12) bytes[at] ^= 1 << random.below(8);
	else bytes[at] = random.below(256);
	return bytes;
}

/** Without `removed` bytes from `at` on, and with `repeated` bytes before it twice. */
function spliced(
	bytes: Uint8Array,
	at: number,
	removed: number,
	repeated: number,
): Uint8Array {
	return Buffer.concat([
		bytes.subarray(0, at),
		bytes.subarray(Math.max(0, at - repeated), at),
		bytes.subarray(at + removed),
	]);
}

function setNumber(bytes: Uint8Array, at: number, random: RandomSource): void {
	const size = random.below(2) === 0 ? 8 : 4;
	const start = at - (at % 4);
	if (start + size > bytes.length) return;
	const value = ODD_NUMBERS[random.below(ODD_NUMBERS.length)];
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	if (size === 8) view.setBigUint64(start, value, true);
	else view.setUint32(start, Number(BigInt.asUintN(32, value)), true);
}
