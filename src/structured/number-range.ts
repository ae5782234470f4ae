/**
 * The decimal numbers between two bounds as EBNF, without exponents. A number is compared digit by digit: its whole part lies
 * between those of the bounds, or equals one and then its fraction decides.
 */

/** What stands for a range in a schema, "nano-vllm:number:I:"; the schema's grammar is given range I in its place. */
export const NUMBER_MARK = "nano-vllm:number:";

/** What lies between `low` and `high`; infinite where there is no bound. */
export interface NumberRange {
	readonly low: number;
	readonly high: number;
	readonly excludesLow: boolean;
	readonly excludesHigh: boolean;
}

/** Whole part and the digits of the fraction, none at its end that is 0. */
interface Decimal {
	readonly whole: number;
	readonly fraction: string;
}

const ANY_FRACTION = '("." [0-9]+)?';

/** @returns null where bounds cannot be compared so: with exponents, no safe integer, or both within one whole number that is none of them */
export function numberRange(range: NumberRange): string | null {
	const { low, high, excludesLow, excludesHigh } = range;
	const parts: string[] = [];
	if (high > 0 || (high === 0 && !excludesHigh)) {
		const isInside = low < 0;
		parts.push(
			positive(
				isInside ? 0 : low,
				high,
				!isInside && excludesLow,
				excludesHigh,
			) ?? "",
		);
	}
	if (low < 0) {
		const isInside = high >= 0;
		const digits = positive(
			isInside ? 0 : -high,
			-low,
			excludesHigh && high <= 0,
			excludesLow,
		);
		parts.push(digits === null ? "" : `"-" (${digits})`);
	}
	return parts.length === 0 || parts.includes("") ? null : parts.join(" | ");
}

function positive(
	low: number,
	high: number,
	excludesLow: boolean,
	excludesHigh: boolean,
): string | null {
	const first = decimal(low);
	const last = high === Infinity ? null : decimal(high);
	if (first === null || (high !== Infinity && last === null)) return null;
	if (last !== null && first.whole >= last.whole)
		return withinOne(first, last, excludesLow, excludesHigh);
	const between = wholes(
		first.whole + 1,
		last === null ? Infinity : last.whole - 1,
	);
	const parts = [
		`"${first.whole}" (${fractionFrom(first.fraction, excludesLow)})`,
		...(between === null ? [] : [`(${between}) ${ANY_FRACTION}`]),
	];
	const below = last && fractionUpTo(last.fraction, excludesHigh);
	if (last !== null && below !== null) parts.push(`"${last.whole}" (${below})`);
	return parts.join(" | ");
}

/** Both have the same whole part. */
function withinOne(
	first: Decimal,
	last: Decimal,
	excludesLow: boolean,
	excludesHigh: boolean,
): string | null {
	if (excludesLow) return null;
	if (first.fraction === last.fraction)
		return excludesHigh ? null : exactly(first);
	const below = fractionUpTo(last.fraction, excludesHigh);
	return first.fraction === "" && below !== null
		? `"${first.whole}" (${below})`
		: null;
}

function decimal(value: number): Decimal | null {
	const match = /^(\d+)(?:\.(\d+))?$/.exec(String(value));
	if (match === null || value > Number.MAX_SAFE_INTEGER) return null;
	return { whole: Number(match[1]), fraction: match[2] ?? "" };
}

const exactly = ({ whole, fraction }: Decimal): string =>
	fraction === "" ? `"${whole}" ("." "0"+)?` : `"${whole}.${fraction}" "0"*`;

/** Fractions, dot included, not below .digits. */
function fractionFrom(digits: string, excludes: boolean): string {
	if (digits === "") return excludes ? '"." "0"* [1-9] [0-9]*' : ANY_FRACTION;
	const larger = digitsBeside(digits, (digit) =>
		digit < 9 ? `[${digit + 1}-9]` : null,
	);
	const rest = excludes ? '"0"* [1-9] [0-9]*' : "[0-9]*";
	return `"." (${[...larger, `"${digits}" ${rest}`].join(" | ")})`;
}

/** Fractions, dot included, not above .digits; null where there are none. */
function fractionUpTo(digits: string, excludes: boolean): string | null {
	if (digits === "") return excludes ? null : '("." "0"+)?';
	const smaller = digitsBeside(digits, (digit) =>
		digit > 0 ? `[0-${digit - 1}]` : null,
	);
	const shorter = Array.from(
		{ length: digits.length - 1 },
		(_, i) => `"${digits.slice(0, i + 1)}"`,
	);
	const equal = excludes ? [] : [`"${digits}" "0"*`];
	return `("." (${[...smaller, ...shorter, ...equal].join(" | ")}))?`;
}

/** Digits that agree with these up to one place and differ there as `write` says. */
function digitsBeside(
	digits: string,
	write: (digit: number) => string | null,
): string[] {
	return Array.from(digits).flatMap((digit, i) => {
		const differing = write(Number(digit));
		if (differing === null) return [];
		const same = i === 0 ? "" : `"${digits.slice(0, i)}" `;
		return [`${same}${differing} [0-9]*`];
	});
}

/** Whole numbers from `low` to `high` without leading zeros; null where there are none. */
function wholes(low: number, high: number): string | null {
	if (low > high) return null;
	const parts: string[] = [];
	for (let from = low; from <= high; ) {
		const { length } = String(from);
		const longest = Number("9".repeat(length));
		if (high === Infinity) {
			parts.push(...ofLength(String(from), String(longest)));
			parts.push(`[1-9] [0-9]{${length},}`);
			break;
		}
		parts.push(...ofLength(String(from), String(Math.min(longest, high))));
		from = longest + 1;
	}
	return parts.join(" | ");
}

/** Strings of digits between two of the same length. */
function ofLength(low: string, high: string): string[] {
	if (low.length === 1) return [`[${low}-${high}]`];
	const [first, last] = [Number(low[0]), Number(high[0])];
	const after = low.length - 1;
	if (first === last)
		return [
			`"${first}" (${ofLength(low.slice(1), high.slice(1)).join(" | ")})`,
		];
	const parts = [
		`"${first}" (${ofLength(low.slice(1), "9".repeat(after)).join(" | ")})`,
		`"${last}" (${ofLength("0".repeat(after), high.slice(1)).join(" | ")})`,
	];
	if (last - first > 1)
		parts.push(`[${first + 1}-${last - 1}] [0-9]{${after}}`);
	return parts;
}
