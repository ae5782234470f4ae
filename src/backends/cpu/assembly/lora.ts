// Adapters: rows go through a matrix a to a few numbers, and those through b to what is added (Hu et al. 2021). Every number is summed
// in one order, whatever else is in the batch.
import { madd } from "./simd";

/**
 * small[i, r] = Σ_k a[r, k] · x[tokens[i], k] for i in [0, count) and the rows r of quads [first, end). a: f32 [quad][k][4]; each target
 * has quadsPerTarget of them, of whose rows the first ranks[target] count. Rows of small are smallBytes apart.
 */
export function lora_shrink(
	x: usize,
	width: i32,
	tokens: usize,
	count: i32,
	a: usize,
	ranks: usize,
	quadsPerTarget: i32,
	first: i32,
	end: i32,
	small: usize,
	smallBytes: usize,
): void {
	const bytes = <usize>width * 4;
	for (let quad = first; quad < end; quad++) {
		const target = quad / quadsPerTarget;
		if ((quad - target * quadsPerTarget) * 4 >= load<i32>(ranks + <usize>target * 4)) continue;
		const rows = a + <usize>quad * 4 * bytes;
		for (let i = 0; i < count; i++) {
			const row = x + <usize>load<u32>(tokens + <usize>i * 4) * bytes;
			v128.store(small + <usize>i * smallBytes + <usize>quad * 16, shrunk(row, rows, bytes));
		}
	}
}

/** Σ_k x[k] · a[k][0 .. 3] */
// @ts-ignore: decorator
@inline
function shrunk(x: usize, a: usize, bytes: usize): v128 {
	let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
	let k: usize = 0;
	for (; k + 16 <= bytes; k += 16) {
		const at = a + 4 * k;
		s0 = madd(v128.load(at), v128.load32_splat(x + k), s0);
		s1 = madd(v128.load(at, 16), v128.load32_splat(x + k, 4), s1);
		s2 = madd(v128.load(at, 32), v128.load32_splat(x + k, 8), s2);
		s3 = madd(v128.load(at, 48), v128.load32_splat(x + k, 12), s3);
	}
	for (; k < bytes; k += 4) s0 = madd(v128.load(a + 4 * k), v128.load32_splat(x + k), s0);
	return f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3));
}

/**
 * y[tokens[i], c] += scale · Σ_r b[c, r] · small[i, r] for i in [0, count), the rank's r and the columns c of panels [first, end).
 * b: f32 [panel][r][16], panelBytes each; small and y begin with the target's own.
 */
export function lora_expand(
	small: usize,
	smallBytes: usize,
	tokens: usize,
	count: i32,
	b: usize,
	panelBytes: usize,
	rank: i32,
	columns: i32,
	first: i32,
	end: i32,
	scale: f32,
	y: usize,
	yBytes: usize,
): void {
	const s = f32x4.splat(scale);
	for (let panel = first; panel < end; panel++) {
		const weights = b + <usize>panel * panelBytes;
		const left = columns - panel * 16;
		for (let i = 0; i < count; i++) {
			const from = small + <usize>i * smallBytes;
			const to = y + <usize>load<u32>(tokens + <usize>i * 4) * yBytes + <usize>panel * 64;
			if (left >= 16) add_panel(from, weights, rank, s, to);
			else for (let c = 0; c < left; c++) add_column(from, weights + <usize>c * 4, rank, scale, to + <usize>c * 4);
		}
	}
}

// @ts-ignore: decorator
@inline
function add_panel(small: usize, b: usize, rank: i32, scale: v128, y: usize): void {
	let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
	for (const end = small + <usize>rank * 4; small < end; small += 4) {
		const factor = v128.load32_splat(small);
		s0 = madd(v128.load(b), factor, s0);
		s1 = madd(v128.load(b, 16), factor, s1);
		s2 = madd(v128.load(b, 32), factor, s2);
		s3 = madd(v128.load(b, 48), factor, s3);
		b += 64;
	}
	v128.store(y, f32x4.add(v128.load(y), f32x4.mul(s0, scale)));
	v128.store(y, f32x4.add(v128.load(y, 16), f32x4.mul(s1, scale)), 16);
	v128.store(y, f32x4.add(v128.load(y, 32), f32x4.mul(s2, scale)), 32);
	v128.store(y, f32x4.add(v128.load(y, 48), f32x4.mul(s3, scale)), 48);
}

function add_column(small: usize, b: usize, rank: i32, scale: f32, y: usize): void {
	let sum: f32 = 0;
	for (const end = small + <usize>rank * 4; small < end; small += 4) {
		sum += load<f32>(b) * load<f32>(small);
		b += 64;
	}
	store<f32>(y, load<f32>(y) + sum * scale);
}
