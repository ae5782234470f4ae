/** What a token might have been instead: a small table under it. */
import { useLayoutEffect, useRef } from "preact/hooks";
import type { AnswerToken } from "../engine.ts";

const SHOWN = 5;
const GAP = 4;

export interface AlternativesProps {
	readonly token: AnswerToken;
	/** Where the token is drawn. */
	readonly anchor: () => HTMLElement | null;
	/** What the table stays within, from side to side. */
	readonly box: { readonly current: HTMLElement | null };
}

export function TokenAlternatives({ token, anchor, box }: AlternativesProps) {
	const table = useRef<HTMLDivElement>(null);
	useLayoutEffect(() => {
		if (table.current && box.current)
			moveUnder(table.current, anchor(), box.current);
	});
	return (
		<div class="alternatives" ref={table} aria-hidden="true">
			{rowsOf(token).map(({ text, logprob, isChosen }) => (
				<p key={text} class={`alternative ${isChosen ? "chosen" : ""}`}>
					{logprob !== null && (
						<span
							class="share"
							style={{ width: `${100 * Math.exp(logprob)}%` }}
						/>
					)}
					<span class="piece">{named(text)}</span>
					<span>{logprob === null ? "not known" : percent(logprob)}</span>
				</p>
			))}
		</div>
	);
}

interface Row {
	readonly text: string;
	readonly logprob: number | null;
	readonly isChosen: boolean;
}

/** The token among what else was likely, likeliest first. */
function rowsOf({ text, logprob, alternatives }: AnswerToken): Row[] {
	const chosen: Row = { text, logprob, isChosen: true };
	const others: Row[] = alternatives
		.filter((it) => it.text !== text)
		.slice(0, SHOWN)
		.map((it) => ({ ...it, isChosen: false }));
	const rank = others.filter((it) => (it.logprob ?? 0) > (logprob ?? 0)).length;
	return others.toSpliced(rank, 0, chosen);
}

/** Under the last line of what it belongs to. */
function moveUnder(
	table: HTMLElement,
	anchor: HTMLElement | null,
	box: HTMLElement,
): void {
	const frame = box.getBoundingClientRect();
	const line = [...(anchor?.getClientRects() ?? [])].at(-1) ?? frame;
	const left = Math.min(
		line.left - frame.left,
		frame.width - table.offsetWidth,
	);
	const top = line.bottom - frame.top + box.offsetTop + GAP;
	table.style.left = `${Math.max(left, 0)}px`;
	table.style.top = `${top}px`;
}

/** Of a natural logarithm. */
export function percent(logprob: number): string {
	const share = 100 * Math.exp(logprob);
	if (share > 0 && share < 0.1) return "< 0.1 %";
	return `${share.toFixed(1)} %`;
}

/** A token by itself: blanks are drawn. */
export function named(text: string): string {
	const drawn = text
		.replaceAll("\n", "↵")
		.replaceAll("\t", "⇥")
		.replaceAll(" ", "·");
	return drawn === "" ? "(nothing)" : drawn;
}
