/** Which lines of a file are done: a bit each, so that a million lines take 125 kB. */

export class LineSet {
	#bits = new Uint8Array(1024);
	#size = 0;

	/** How many are in it. */
	get size(): number {
		return this.#size;
	}

	has(line: number): boolean {
		return ((this.#bits[line >>> 3] ?? 0) & (1 << (line & 7))) !== 0;
	}

	/** @returns whether it is new */
	add(line: number): boolean {
		if (this.has(line)) return false;
		const at = line >>> 3;
		if (at >= this.#bits.length) {
			const wider = new Uint8Array(Math.max(at + 1, this.#bits.length * 2));
			wider.set(this.#bits);
			this.#bits = wider;
		}
		this.#bits[at] |= 1 << (line & 7);
		this.#size++;
		return true;
	}
}
