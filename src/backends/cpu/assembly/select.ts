// Order among floats: sortable keys, the k-th largest by histograms, and a heap.

export const BINS = 2048;

/** Greater floats have greater keys. */
// @ts-ignore: decorator
@inline
function keyOf(x: f32): u32 {
	// +0 and −0 are one value.
	const bits = reinterpret<u32>(x + <f32>0);
	return bits & 0x80000000 ? ~bits : bits | 0x80000000;
}

// @ts-ignore: decorator
@inline
function fromKey(key: u32): f32 {
	return reinterpret<f32>(key & 0x80000000 ? key & 0x7fffffff : ~key);
}

/** The least f32 that is not below x: a comparison with it is one with x. */
export function ceilToFloat(x: f64): f32 {
	const near = <f32>x;
	return <f64>near < x ? fromKey(keyOf(near) + 1) : near;
}

/** The k-th largest of f32 [n], by three histograms over 11, 11 and 10 bits of the keys. bins: BINS · 4 bytes */
export function kthLargest(x: usize, n: i32, k: i32, bins: usize): f32 {
	let prefix: u32 = 0;
	let decided: u32 = 0;
	let wanted = k;
	for (let pass = 0; pass < 3; pass++) {
		const shift: u32 = pass === 0 ? 21 : pass === 1 ? 10 : 0;
		const width: u32 = pass === 2 ? 1023 : 2047;
		memory.fill(bins, 0, BINS * 4);
		for (let i: usize = 0; i < <usize>n * 4; i += 4) {
			const key = keyOf(load<f32>(x + i));
			if ((key & decided) !== prefix) continue;
			const bin = bins + <usize>((key >> shift) & width) * 4;
			store<i32>(bin, load<i32>(bin) + 1);
		}
		let bin = width;
		while (load<i32>(bins + <usize>bin * 4) < wanted) {
			wanted -= load<i32>(bins + <usize>bin * 4);
			bin--;
		}
		prefix |= bin << shift;
		decided |= width << shift;
	}
	return fromKey(prefix);
}

/** Makes list[0] the greatest: a binary heap. */
export function heapify(list: usize, n: i32): void {
	for (let i = (n >> 1) - 1; i >= 0; i--) sink(list, i, n);
}

export function sink(list: usize, from: i32, n: i32): void {
	const value = load<f32>(list + <usize>from * 4);
	let at = from;
	for (;;) {
		let child = 2 * at + 1;
		if (child >= n) break;
		if (child + 1 < n && load<f32>(list + <usize>(child + 1) * 4) > load<f32>(list + <usize>child * 4)) child++;
		const greater = load<f32>(list + <usize>child * 4);
		if (greater <= value) break;
		store<f32>(list + <usize>at * 4, greater);
		at = child;
	}
	store<f32>(list + <usize>at * 4, value);
}
