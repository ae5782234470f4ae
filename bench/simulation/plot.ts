/** Lines over a logarithmic axis as an SVG that follows the reader's light or dark scheme. Knows nothing of what it shows. */

export interface Series {
	readonly label: string;
	readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface Plot {
	readonly title: string;
	readonly xLabel: string;
	readonly yLabel: string;
	/** Top of the y axis; without it, a round number above all points. */
	readonly yMax?: number;
	readonly series: readonly Series[];
}

const WIDTH = 720;
const HEIGHT = 400;
const LEFT = 56;
const RIGHT = 24;
const TOP = 48;
const LEGEND_ROW = 20;
const X_AXIS = 52;

/** Told apart without colours too: each line has dashes and a marker's shape of its own. */
const STYLES = [
	{ light: "#0b62a8", dark: "#6cb6ff", dashes: "" },
	{ light: "#b3450e", dark: "#ffa657", dashes: "7 4" },
	{ light: "#1a7f37", dark: "#56d364", dashes: "2 3" },
	{ light: "#8250df", dark: "#d2a8ff", dashes: "10 3 2 3" },
];

export function linePlot(plot: Plot): string {
	const { series } = plot;
	const points = series.flatMap((one) => one.points);
	const xs = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
	const yMax = plot.yMax ?? roundUp(Math.max(...points.map(({ y }) => y)));
	const top = TOP + LEGEND_ROW * Math.ceil(series.length / 2);
	const bottom = HEIGHT - X_AXIS;
	const span = Math.log(xs[xs.length - 1] / xs[0]);
	const left = (x: number) =>
		LEFT + 12 + ((WIDTH - LEFT - RIGHT - 24) * Math.log(x / xs[0])) / span;
	const height = (y: number) => bottom - ((bottom - top) * y) / yMax;
	return [
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${escaped(plot.title)}">`,
		`<title>${escaped(plot.title)}</title>`,
		`<style>${styleSheet()}</style>`,
		`<rect class="paper" width="${WIDTH}" height="${HEIGHT}" rx="6"/>`,
		`<text class="title" x="${LEFT}" y="28">${escaped(plot.title)}</text>`,
		...series.map((one, i) => legend(one.label, i)),
		...[0, 0.25, 0.5, 0.75, 1].map((share) => {
			const y = height(share * yMax);
			const line = `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${fixed(y)}" y2="${fixed(y)}"/>`;
			const unit = share === 1 ? ` ${plot.yLabel}` : "";
			return `${line}${text(LEFT - 8, y + 4, `${tick(share * yMax)}${unit}`, "end")}`;
		}),
		...xs.map((x) => text(left(x), bottom + 20, tick(x), "middle")),
		text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, plot.xLabel, "middle"),
		...series.map((one, i) => curve(one, i, left, height)),
		"</svg>\n",
	].join("\n");
}

function styleSheet(): string {
	const lines = (scheme: "light" | "dark") =>
		STYLES.map(
			(style, i) =>
				`.s${i}{stroke:${style[scheme]}}.s${i}.dot{fill:${style[scheme]}}`,
		).join("");
	const look = (paper: string, ink: string, grid: string) =>
		`.paper{fill:${paper}}text{fill:${ink}}.grid{stroke:${grid}}`;
	return `text{font:13px system-ui,sans-serif}.title{font-size:15px;font-weight:600}.line{fill:none;stroke-width:2.5}${look("#ffffff", "#1f2328", "#d8dee4")}${lines("light")}@media (prefers-color-scheme:dark){${look("#0d1117", "#e6edf3", "#30363d")}${lines("dark")}}`;
}

function legend(label: string, i: number): string {
	const x = LEFT + (i % 2) * ((WIDTH - LEFT - RIGHT) / 2);
	const y = TOP + LEGEND_ROW * Math.floor(i / 2);
	return `<line class="line s${i}" stroke-dasharray="${STYLES[i].dashes}" x1="${x}" x2="${x + 34}" y1="${y}" y2="${y}"/>${text(x + 42, y + 4, label, "start")}`;
}

function curve(
	{ points }: Series,
	i: number,
	left: (x: number) => number,
	height: (y: number) => number,
): string {
	const at = points.map(({ x, y }) => [fixed(left(x)), fixed(height(y))]);
	const path = at.map(([x, y]) => `${x},${y}`).join(" ");
	const dots = at.map(
		([x, y]) => `<circle class="dot s${i}" cx="${x}" cy="${y}" r="3.5"/>`,
	);
	return `<polyline class="line s${i}" stroke-dasharray="${STYLES[i].dashes}" points="${path}"/>${dots.join("")}`;
}

function text(x: number, y: number, content: string, anchor: string): string {
	return `<text x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}">${escaped(content)}</text>`;
}

function roundUp(value: number): number {
	const power = 10 ** Math.floor(Math.log10(value));
	const steps = [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10];
	return power * (steps.find((step) => step * power >= value) ?? 10);
}

function tick(value: number): string {
	return Number(value.toPrecision(3)).toLocaleString("en");
}

function fixed(value: number): string {
	return String(Number(value.toFixed(1)));
}

function escaped(content: string): string {
	return content
		.replace(/&/g, "&amp;")
		.replace(/</g, "&lt;")
		.replace(/"/g, "&quot;");
}
