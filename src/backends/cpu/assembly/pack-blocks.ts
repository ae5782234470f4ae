// Rows of weights that are q8_0 or q4_0 blocks already (GGUF's: an f16 scale, then 32 int8 or 16 bytes of nibbles) into their panels,
// bit for bit. The panels are those of linear-q8-0.ts, linear-dot.ts and linear-q4-0.ts.
import { PANEL, Q8_0 } from "./format";
import { dotKind, NEITHER, UNSIGNED } from "./simd";

const Q8_0_BYTES: usize = 34;
const Q4_0_BYTES: usize = 18;

/** As pack_rows, of q8_0 or q4_0. */
export function pack_block_rows(
	format: i32, source: usize, rowBytes: usize, count: i32, first: i32,
	depth: i32, w: usize, panelBytes: usize, step: i32,
): void {
	for (let r = first; r < first + count; r++) {
		const panel = w + <usize>(r / PANEL * step) * panelBytes;
		if (format === Q8_0) packQ8_0(source, depth, panel, r % PANEL);
		else packQ4_0(source, depth, panel, r % PANEL);
		source += rowBytes;
	}
}

/** Panels of pairs of k where there are no eight-bit dot products, else of quads, offset by 128 where the products want it. */
function packQ8_0(source: usize, blocks: i32, panel: usize, column: i32): void {
	if (dotKind === NEITHER) packPairs(source, blocks, panel, column);
	else packQuads(source, blocks, panel, column, dotKind === UNSIGNED ? 0x80808080 : 0);
}

function packPairs(source: usize, blocks: i32, panel: usize, column: i32): void {
	for (let b = 0; b < blocks; b++) {
		store<u16>(panel + 512 + <usize>column * 2, load<u16>(source));
		for (let i: usize = 0; i < 32; i += 2)
			store<u16>(panel + i * 16 + <usize>column * 2, load<u16>(source + 2 + i));
		source += Q8_0_BYTES;
		panel += 544;
	}
}

function packQuads(source: usize, blocks: i32, panel: usize, column: i32, flip: u32): void {
	for (let b = 0; b < blocks; b++) {
		store<u16>(panel + 512 + <usize>column * 2, load<u16>(source));
		for (let i: usize = 0; i < 32; i += 4)
			store<u32>(panel + i * 16 + <usize>column * 4, load<u32>(source + 2 + i) ^ flip);
		source += Q8_0_BYTES;
		panel += 544;
	}
}

/** Element i is in the low, element i + 16 in the high nibble of byte i of a block; in a panel columns c and c + 8 share a byte. */
function packQ4_0(source: usize, blocks: i32, panel: usize, column: i32): void {
	const shift: u32 = column < 8 ? 0 : 4;
	const kept: u32 = column < 8 ? 0xf0f0f0f0 : 0x0f0f0f0f;
	const within = <usize>(column & 7) * 4;
	for (let b = 0; b < blocks; b++) {
		store<u16>(panel + 256 + <usize>column * 2, load<u16>(source));
		for (let i: usize = 0; i < 16; i += 4) {
			const bytes = load<u32>(source + 2 + i);
			put(panel + i * 8 + within, kept, (bytes & 0x0f0f0f0f) << shift);
			put(panel + 128 + i * 8 + within, kept, ((bytes >> 4) & 0x0f0f0f0f) << shift);
		}
		source += Q4_0_BYTES;
		panel += 288;
	}
}

// @ts-ignore: decorator
@inline
function put(at: usize, kept: u32, bits: u32): void {
	store<u32>(at, (load<u32>(at) & kept) | bits);
}
