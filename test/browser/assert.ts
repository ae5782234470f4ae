/** What the op cases use of node:assert/strict, for pages: bundle.ts puts it in that module's place. */

function assert(value: unknown, message = "not true"): asserts value {
	if (!value) throw new Error(message);
}

assert.ok = assert;

assert.fail = (message: string): never => {
	throw new Error(message);
};

assert.equal = (got: unknown, wanted: unknown, message = "not equal") => {
	if (!Object.is(got, wanted))
		throw new Error(`${message}: ${got}, wanted ${wanted}`);
};

assert.deepEqual = (got: unknown, wanted: unknown, message = "not equal") => {
	const where = difference(got, wanted, "");
	if (where !== null) throw new Error(`${message}: differs at ${where}`);
};

/** Where two values of numbers, strings, arrays, maps and plain objects differ; null: nowhere. */
function difference(a: unknown, b: unknown, path: string): string | null {
	if (Object.is(a, b)) return null;
	if (!isObject(a) || !isObject(b)) return `${path || "."} (${a}, wanted ${b})`;
	if (a.constructor !== b.constructor) return `${path} (another class)`;
	const entriesOf = (x: object) =>
		x instanceof Map ? [...x] : Object.entries(x);
	const [ours, theirs] = [entriesOf(a), entriesOf(b)];
	if (ours.length !== theirs.length)
		return `${path} (${ours.length} entries, wanted ${theirs.length})`;
	for (const [i, [key, value]] of ours.entries()) {
		if (!Object.is(key, theirs[i][0])) return `${path} (key ${key})`;
		const found = difference(value, theirs[i][1], `${path}.${key}`);
		if (found !== null) return found;
	}
	return null;
}

const isObject = (value: unknown): value is object =>
	typeof value === "object" && value !== null;

export default assert;
