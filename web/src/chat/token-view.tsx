/** An answer token by token, coloured by how likely the model held each; one at a time tells what else it might have been. */
import { useId, useMemo, useRef, useState } from "preact/hooks";
import type { AnswerToken } from "../engine.ts";
import { named, percent, TokenAlternatives } from "./token-alternatives.tsx";

/** Full runs of this many tokens are drawn once: while an answer grows, its last run alone is. */
const RUN = 64;
/** From here on a token is of this level; below the last bound, of the one after. */
const LEVELS = [0.9, 0.6, 0.3, 0.1];
const LEVEL_NAMES = ["over 90 %", "60", "30", "10", "less"];

export function TokenView({
	tokens,
}: {
	readonly tokens: readonly AnswerToken[];
}) {
	const [place, setPlace] = useState(0);
	const [isOpen, setOpen] = useState(false);
	const box = useRef<HTMLDivElement>(null);
	const id = useId();
	const onKeyDown = (event: KeyboardEvent) => {
		if (event.key === "Escape" && isOpen) {
			event.stopPropagation();
			return setOpen(false);
		}
		const next = nextPlace(event.key, place, tokens.length);
		if (next === null) return;
		event.preventDefault();
		setPlace(next);
		setOpen(true);
		elementAt(box.current, next)?.scrollIntoView({ block: "nearest" });
	};
	const onMouseOver = ({ target }: MouseEvent) => {
		const at = (target as HTMLElement).dataset.place;
		if (at === undefined) return;
		setPlace(Number(at));
		setOpen(true);
	};
	const numRuns = Math.ceil(tokens.length / RUN);
	return (
		<div class="tokens-box">
			<TokenLegend />
			<div
				class="tokens"
				ref={box}
				role="listbox"
				tabIndex={0}
				aria-label="Tokens of the answer, with their probabilities"
				aria-activedescendant={tokens[place] && `${id}-${place}`}
				onKeyDown={onKeyDown}
				onMouseOver={onMouseOver}
				onMouseLeave={() => setOpen(false)}
				onFocus={() => setOpen(true)}
				onBlur={() => setOpen(false)}
			>
				{Array.from({ length: numRuns }, (_, i) => (
					<TokenRun
						key={i}
						id={id}
						tokens={tokens}
						start={i * RUN}
						end={Math.min((i + 1) * RUN, tokens.length)}
						current={Math.floor(place / RUN) === i ? place : null}
					/>
				))}
			</div>
			{isOpen && tokens[place] && (
				<TokenAlternatives
					token={tokens[place]}
					anchor={() => elementAt(box.current, place)}
					box={box}
				/>
			)}
		</div>
	);
}

const elementAt = (box: HTMLElement | null, place: number) =>
	box?.querySelector<HTMLElement>(`[data-place="${place}"]`) ?? null;

/** null: the key is not one that moves. */
function nextPlace(key: string, place: number, count: number): number | null {
	const last = Math.max(count - 1, 0);
	switch (key) {
		case "ArrowRight":
		case "ArrowDown":
			return Math.min(place + 1, last);
		case "ArrowLeft":
		case "ArrowUp":
			return Math.max(place - 1, 0);
		case "Home":
			return 0;
		case "End":
			return last;
		default:
			return null;
	}
}

interface RunProps {
	readonly id: string;
	/** Of the whole answer. */
	readonly tokens: readonly AnswerToken[];
	readonly start: number;
	readonly end: number;
	/** The active token, if it is in this run. */
	readonly current: number | null;
}

function TokenRun({ id, tokens, start, end, current }: RunProps) {
	return useMemo(
		() => (
			<>
				{tokens.slice(start, end).map((token, i) => {
					const at = start + i;
					return (
						<span
							key={at}
							id={`${id}-${at}`}
							class={`token level-${levelOf(token)}`}
							data-place={at}
							role="option"
							tabIndex={-1}
							aria-selected={at === current}
							aria-label={at === current ? spoken(token) : undefined}
						>
							{token.text.replaceAll("\n", "↵\n")}
						</span>
					);
				})}
			</>
		),
		[id, tokens, start, end, current],
	);
}

function levelOf({ logprob }: AnswerToken): number | "unknown" {
	if (logprob === null) return "unknown";
	const probability = Math.exp(logprob);
	const level = LEVELS.findIndex((bound) => probability >= bound);
	return level < 0 ? LEVELS.length : level;
}

function spoken({ text, logprob, alternatives }: AnswerToken): string {
	const others = alternatives
		.filter((it) => it.text !== text)
		.slice(0, 3)
		.map((it) => `${named(it.text)} ${percent(it.logprob)}`);
	const instead = others.length > 0 ? `; instead ${others.join(", ")}` : "";
	return `${named(text)} ${logprob === null ? "" : percent(logprob)}${instead}`;
}

function TokenLegend() {
	return (
		<p class="token-legend">
			Probability
			{LEVEL_NAMES.map((name, i) => (
				<span key={name} class={`token level-${i}`}>
					{name}
				</span>
			))}
		</p>
	);
}
