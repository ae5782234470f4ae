/** Hands out addresses of one memory, 64-byte aligned, one after another. */
export interface Arena {
	take(bytes: number): number;
	/** The first byte nobody has. */
	readonly end: number;
}

export function createArena(start: number): Arena {
	let next = start;
	return {
		take(bytes) {
			const address = next;
			next = Math.ceil((next + bytes) / 64) * 64;
			return address;
		},
		get end() {
			return next;
		},
	};
}
