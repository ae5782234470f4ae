// ropeAndCache's first half: one head normalised and turned by its position.
import { rms_norm } from "./norm";

/**
 * Normalises (norm not 0) one head in place and turns its first 2·numFrequencies elements.
 * cosSin: f32 numFrequencies cosines, then as many sines of its position.
 */
export function norm_rope(head: usize, headDim: i32, norm: usize, eps: f32, cosSin: usize, numFrequencies: i32): void {
	if (norm !== 0) rms_norm(head, norm, headDim, eps, head);
	const half = <usize>numFrequencies * 4;
	let i: usize = 0;
	for (; i + 16 <= half; i += 16) {
		const a = v128.load(head + i);
		const b = v128.load(head + half + i);
		const cos = v128.load(cosSin + i);
		const sin = v128.load(cosSin + half + i);
		v128.store(head + i, f32x4.sub(f32x4.mul(a, cos), f32x4.mul(b, sin)));
		v128.store(head + half + i, f32x4.add(f32x4.mul(b, cos), f32x4.mul(a, sin)));
	}
	for (; i < half; i += 4) {
		const a = load<f32>(head + i);
		const b = load<f32>(head + half + i);
		const cos = load<f32>(cosSin + i);
		const sin = load<f32>(cosSin + half + i);
		store<f32>(head + i, a * cos - b * sin);
		store<f32>(head + half + i, b * cos + a * sin);
	}
}
