/** How figures are written on the pages. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", {
	minimumFractionDigits: 1,
	maximumFractionDigits: 1,
});

export function count(value: number): string {
	return whole.format(value);
}

/** One place behind the point below a hundred. */
export function measure(value: number): string {
	return value < 100 ? tenth.format(value) : whole.format(value);
}

export function percent(share: number): string {
	return `${measure(100 * share)} %`;
}

/** "3 tokens", "1 token". */
export function plural(value: number, noun: string): string {
	return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}
