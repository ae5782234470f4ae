/** One answer: its text as markdown or token by token, how it went, and what one can do with it. */
import { useState } from "preact/hooks";
import type { AnswerToken } from "../engine.ts";
import type { LiveAnswer } from "./answering.ts";
import type { AnswerTiming, AnswerTurn } from "./conversation.ts";
import { tokensOf } from "./conversations.ts";
import { CopyButton } from "./copy-button.tsx";
import { MarkdownView } from "./markdown-view.tsx";
import { splitThought } from "./thought.ts";
import { TokenView } from "./token-view.tsx";

export interface AnswerProps {
	readonly turn: AnswerTurn;
	/** null: it is written. */
	readonly live: LiveAnswer | null;
	/** null: nobody could answer now. */
	readonly onAgain: (() => void) | null;
}

export function AnswerView({ turn, live, onAgain }: AnswerProps) {
	const [shown, setShown] = useState<"text" | "tokens">("text");
	const [kept, setKept] = useState<readonly AnswerToken[] | null>(null);
	// Read, so that the answer is drawn with every frame.
	void live?.frame.value;
	const text = live?.text ?? turn.text;
	const tokens = live?.tokens ?? kept;
	const toggle = async () => {
		if (live === null && kept === null) setKept(await tokensOf(turn));
		setShown(shown === "text" ? "tokens" : "text");
	};
	return (
		<article class="answer" aria-label="Answer" aria-busy={live !== null}>
			{shown === "tokens" && tokens !== null && tokens.length > 0 ? (
				<TokenView tokens={tokens} />
			) : (
				<AnswerText text={text} isGrowing={live !== null} />
			)}
			{shown === "tokens" && tokens?.length === 0 && live === null && (
				<p class="hint">No probabilities were kept of this answer.</p>
			)}
			{live === null && (
				<>
					<Outcome turn={turn} />
					<footer class="answer-foot">
						<Timing turn={turn} />
						<div class="answer-actions">
							<button
								type="button"
								class="button quiet"
								aria-pressed={shown === "tokens"}
								onClick={toggle}
							>
								Probabilities
							</button>
							<CopyButton text={splitThought(text).answer} label="Copy" />
							{onAgain && (
								<button type="button" class="button quiet" onClick={onAgain}>
									Answer again
								</button>
							)}
						</div>
					</footer>
				</>
			)}
		</article>
	);
}

function AnswerText({
	text,
	isGrowing,
}: {
	readonly text: string;
	readonly isGrowing: boolean;
}) {
	const { thought, answer, isThoughtOver } = splitThought(text);
	return (
		<>
			{thought !== null && (
				<details class="thought">
					<summary>
						{isThoughtOver || !isGrowing ? "Thought" : "Thinking"}
					</summary>
					<MarkdownView
						text={thought}
						isGrowing={isGrowing && !isThoughtOver}
					/>
				</details>
			)}
			<MarkdownView text={answer} isGrowing={isGrowing} />
			{isGrowing && <span class="caret" aria-hidden="true" />}
		</>
	);
}

function Outcome({ turn }: { readonly turn: AnswerTurn }) {
	const { end } = turn;
	if (end === null)
		return <p class="hint">The page was closed before this was complete.</p>;
	if (end.kind === "failed")
		return (
			<p class="notice error" role="alert">
				{end.message}
			</p>
		);
	switch (end.reason) {
		case "abort":
			return <p class="hint">Stopped.</p>;
		case "length":
			return (
				<p class="hint">
					Ended at a limit: the longest answer, as set under Sampling, or all
					the model takes in.
				</p>
			);
		case "stop":
			return turn.text === "" ? (
				<p class="hint">The model said nothing.</p>
			) : null;
		default:
			return end.reason satisfies never;
	}
}

function Timing({ turn }: { readonly turn: AnswerTurn }) {
	return (
		<p class="timing">
			{[turn.modelName.split("/").at(-1), ...figures(turn.timing)].join(" · ")}
		</p>
	);
}

function figures(timing: AnswerTiming | null): string[] {
	if (timing === null) return [];
	const { numTokens, decodeMs, timeToFirstTokenMs } = timing;
	const rate = (1000 * (numTokens - 1)) / decodeMs;
	return [
		`${numTokens} ${numTokens === 1 ? "token" : "tokens"}`,
		...(numTokens > 1 && decodeMs > 0 ? [`${rate.toFixed(1)} tok/s`] : []),
		`${(timeToFirstTokenMs / 1000).toFixed(2)} s to the first token`,
	];
}
