/** A number for a prefix of whole blocks, by which the prefix cache looks it up. Knows token ids alone. */

/** Hashes (prefix, tokens of one block) to a safe integer. A collision costs a miss, never a wrong hit. */
export type BlockHash = (
	parentContentId: number,
	tokenIds: Int32Array,
	start: number,
	length: number,
) => number;

/** Two multiplicative 32-bit lanes over the prefix and the tokens, joined to 53 bits. */
export const hashBlock: BlockHash = (parent, tokenIds, start, length) => {
	let a = Math.imul(parent | 0, 0x9e3779b1) ^ Math.floor(parent / 2 ** 32);
	let b = Math.imul(a, 0x85ebca6b) ^ length;
	for (let i = start; i < start + length; i++) {
		a = Math.imul(a ^ tokenIds[i], 0x01000193);
		a ^= a >>> 15;
		b = Math.imul(b + tokenIds[i], 0xc2b2ae35);
		b ^= b >>> 13;
	}
	return (a >>> 0) * 2 ** 21 + (b >>> 11);
};
