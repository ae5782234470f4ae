/**
 * Which custom_ids came before: 64 bits of each in an open table, 11 to 22 bytes an id, whatever its length. Two ids of a
 * million fall on the same 64 bits once in 30 million files; the second is then called a duplicate, loudly.
 */

const FIRST_CAPACITY = 1024;
const MAX_LOAD = 0.75;

export class SeenIds {
	/** Pairs of words; both 0: free. */
	#table = new Uint32Array(2 * FIRST_CAPACITY);
	#size = 0;

	/** @returns whether it is new */
	add(id: string): boolean {
		const [low, high] = hash(id);
		if (!insert(this.#table, low, high)) return false;
		this.#size++;
		if (this.#size > (MAX_LOAD * this.#table.length) / 2) this.#grow();
		return true;
	}

	#grow(): void {
		const wider = new Uint32Array(2 * this.#table.length);
		for (let i = 0; i < this.#table.length; i += 2) {
			const low = this.#table[i];
			const high = this.#table[i + 1];
			if (low !== 0 || high !== 0) insert(wider, low, high);
		}
		this.#table = wider;
	}
}

function insert(table: Uint32Array, low: number, high: number): boolean {
	const mask = table.length / 2 - 1;
	for (let slot = low & mask; ; slot = (slot + 1) & mask) {
		const a = table[2 * slot];
		const b = table[2 * slot + 1];
		if (a === low && b === high) return false;
		if (a !== 0 || b !== 0) continue;
		table[2 * slot] = low;
		table[2 * slot + 1] = high;
		return true;
	}
}

/** Two multiplicative hashes side by side, each mixed to the end as MurmurHash3 does. Never both 0. */
function hash(text: string): [low: number, high: number] {
	let low = 0x9747b28c ^ text.length;
	let high = 0x3c6ef372 ^ text.length;
	for (let i = 0; i < text.length; i++) {
		const c = text.charCodeAt(i);
		low = Math.imul(low ^ c, 0xcc9e2d51);
		low = (low << 13) | (low >>> 19);
		high = Math.imul(high ^ c, 0x1b873593);
		high = (high << 15) | (high >>> 17);
	}
	return [mix(low), mix(high ^ Math.imul(low, 0x9e3779b1)) || 1];
}

function mix(h: number): number {
	let x = h ^ (h >>> 16);
	x = Math.imul(x, 0x85ebca6b);
	x ^= x >>> 13;
	x = Math.imul(x, 0xc2b2ae35);
	return (x ^ (x >>> 16)) >>> 0;
}
