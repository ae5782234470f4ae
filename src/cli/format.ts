/** Numbers as people read them. */

/** 1234567 → "1,234,567" */
export const grouped = (value: number): string =>
	Math.round(value).toLocaleString("en-US");

/** Three digits or so: 0.53, 8.21, 64.3, 1,234. */
export function figure(value: number): string {
	if (!Number.isFinite(value)) return "-";
	const decimals = value < 10 ? 2 : value < 100 ? 1 : 0;
	return value.toLocaleString("en-US", {
		minimumFractionDigits: decimals,
		maximumFractionDigits: decimals,
	});
}

/** 5213184 → "5.2M" */
export function short(value: number): string {
	const units = ["", "K", "M", "B", "T"];
	let at = 0;
	for (; value >= 999.5 && at < units.length - 1; at++) value /= 1000;
	return `${at === 0 ? value : value.toFixed(value < 99.5 ? 1 : 0)}${units[at]}`;
}

/** "1 prompt", "2 prompts" */
export const plural = (value: number, noun: string): string =>
	`${grouped(value)} ${noun}${value === 1 ? "" : "s"}`;

/** Bytes, as disks and networks count them: 1503300328 → "1.5 GB" */
export const size = (bytes: number): string =>
	`${short(bytes).replace(/([KMBT]?)$/, (unit) => ` ${unit.replace("B", "G").replace("K", "k")}B`)}`;

export const megabytes = (bytes: number): string =>
	`${grouped(bytes / 2 ** 20)} MiB`;

/** Two columns, the second to the right. */
export function table(rows: readonly (readonly [string, string])[]): string {
	const left = Math.max(...rows.map(([label]) => label.length));
	const right = Math.max(...rows.map(([, value]) => value.length));
	return rows
		.map(([label, value]) => `${label.padEnd(left)}  ${value.padStart(right)}`)
		.join("\n");
}
