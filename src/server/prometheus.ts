/**
 * Counters, gauges and histograms, written out in Prometheus' text format. Names are those on the wire: nothing is appended. Values
 * that somebody else counts are read when asked for. Knows no engine.
 */

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
	add(value?: number, labels?: Labels): void;
}

export interface Histogram {
	observe(value: number): void;
}

export interface Registry {
	counter(name: string, help: string, first?: readonly Labels[]): Counter;
	histogram(name: string, help: string, bounds: readonly number[]): Histogram;
	/** A histogram that somebody else keeps: per bound and beyond the last, how many; and their sum. */
	computedHistogram(
		name: string,
		help: string,
		bounds: readonly number[],
		read: () => { readonly counts: ArrayLike<number>; readonly sum: number },
	): void;
	/** `read` is called when the metrics are. */
	computed(
		kind: "counter" | "gauge",
		name: string,
		help: string,
		read: () => number,
		labels?: () => Labels,
	): void;
	render(): string;
}

/** @param common labels of every series */
export function createRegistry(common: Labels): Registry {
	const families: (() => string)[] = [];
	const head = (name: string, kind: string, help: string) =>
		`# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n`;
	const series = (name: string, labels: Labels, value: number) =>
		`${name}${show({ ...common, ...labels })} ${numberOf(value)}\n`;
	const addHistogram: Registry["computedHistogram"] = (
		name,
		help,
		bounds,
		read,
	) => {
		families.push(() => {
			const { counts, sum } = read();
			let text = head(name, "histogram", help);
			let below = 0;
			for (let i = 0; i <= bounds.length; i++) {
				below += counts[i];
				const le = i < bounds.length ? bucket(bounds[i]) : "+Inf";
				text += series(`${name}_bucket`, { le }, below);
			}
			text += series(`${name}_sum`, {}, sum);
			return text + series(`${name}_count`, {}, below);
		});
	};
	return {
		counter(name, help, first = [{}]) {
			const values = new Map<string, { labels: Labels; value: number }>();
			const at = (labels: Labels) => {
				const key = show(labels);
				const found = values.get(key) ?? { labels, value: 0 };
				values.set(key, found);
				return found;
			};
			for (const labels of first) at(labels);
			families.push(() =>
				[...values.values()].reduce(
					(text, { labels, value }) => text + series(name, labels, value),
					head(name, "counter", help),
				),
			);
			return {
				add(value = 1, labels = {}) {
					at(labels).value += value;
				},
			};
		},
		histogram(name, help, bounds) {
			const counts = new Float64Array(bounds.length + 1);
			let sum = 0;
			addHistogram(name, help, bounds, () => ({ counts, sum }));
			return {
				observe(value) {
					let i = 0;
					while (i < bounds.length && value > bounds[i]) i++;
					counts[i]++;
					sum += value;
				},
			};
		},
		computedHistogram: addHistogram,
		computed(kind, name, help, read, labels = () => ({})) {
			families.push(
				() => head(name, kind, help) + series(name, labels(), read()),
			);
		},
		render: () => families.map((family) => family()).join(""),
	};
}

function show(labels: Labels): string {
	const pairs = Object.entries(labels).map(
		([key, value]) => `${key}="${escaped(value)}"`,
	);
	return `{${pairs.join(",")}}`;
}

const escaped = (value: string): string =>
	value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`));

const numberOf = (value: number): string =>
	Number.isFinite(value)
		? String(value)
		: value > 0
			? "+Inf"
			: value < 0
				? "-Inf"
				: "NaN";

/** As Python's client writes bounds: 1 is "1.0". */
const bucket = (bound: number): string =>
	Number.isInteger(bound) ? `${bound}.0` : String(bound);
