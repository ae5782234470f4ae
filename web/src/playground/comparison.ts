/** A and B in one sentence. */
import { count, measure } from "../inspector/numbers.ts";
import type { RunFigures } from "./run-figures.ts";
import type { Scenario } from "./scenarios.ts";

export interface Verdict {
	readonly a: number;
	readonly b: number;
	/** Whether B's figure is the better one. */
	readonly holds: boolean;
	/** "33 instead of 384: 11.6 times less". */
	readonly text: string;
}

/** null: the engine does not show what the scenario counts. */
export function keyVerdict(
	{ key }: Scenario,
	a: RunFigures,
	b: RunFigures,
): Verdict | null {
	if (a.engine === null || b.engine === null) return null;
	return compare(key.of(a.engine), key.of(b.engine), key.better, count);
}

export function feelVerdict(
	{ feel }: Scenario,
	a: RunFigures,
	b: RunFigures,
): Verdict {
	const write = (value: number) => `${measure(value)} ${feel.unit}`;
	return compare(feel.of(a), feel.of(b), feel.better, write);
}

function compare(
	a: number,
	b: number,
	better: "less" | "more",
	write: (value: number) => string,
): Verdict {
	const holds = better === "less" ? b < a : b > a;
	return {
		a,
		b,
		holds,
		text: `${write(b)} instead of ${write(a)}${times(a, b)}`,
	};
}

function times(a: number, b: number): string {
	const least = Math.min(a, b);
	const factor = Math.max(a, b) / least;
	if (least <= 0 || factor < 1.05) return "";
	return `: ${measure(factor)} times ${b < a ? "less" : "more"}`;
}
