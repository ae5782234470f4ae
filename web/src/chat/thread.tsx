/** A conversation's turns, kept at their end while an answer grows, unless the reader scrolls away. */
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { AnswerView } from "./answer-view.tsx";
import { liveAnswers } from "./answering.ts";
import type { Conversation } from "./conversation.ts";
import { UserView } from "./user-view.tsx";

/** Nearer to the end than this counts as there. */
const NEAR = 48;

export interface ThreadProps {
	readonly conversation: Conversation;
	/** null: nobody could answer now. */
	readonly onEdit: ((turnId: string, text: string) => void) | null;
	readonly onAgain: ((turnId: string) => void) | null;
	/** Shown where there are no turns. */
	readonly children: ComponentChildren;
}

export function Thread({
	conversation,
	onEdit,
	onAgain,
	children,
}: ThreadProps) {
	const { turns, id } = conversation;
	const { box, column, isAtEnd, toEnd, onScroll } = useEnd(
		`${id} ${turns.at(-1)?.id}`,
	);
	return (
		<div class="thread-frame">
			<div class="thread" ref={box} onScroll={onScroll}>
				<div class="thread-column" ref={column}>
					{turns.length === 0 && children}
					{turns.map((turn) =>
						turn.kind === "user" ? (
							<UserView
								key={turn.id}
								turn={turn}
								onEdit={onEdit && ((text) => onEdit(turn.id, text))}
							/>
						) : (
							<AnswerView
								key={turn.id}
								turn={turn}
								live={liveAnswers.value.get(turn.id) ?? null}
								onAgain={onAgain && (() => onAgain(turn.id))}
							/>
						),
					)}
				</div>
			</div>
			{!isAtEnd && (
				<button type="button" class="button to-end" onClick={toEnd}>
					To the end
				</button>
			)}
		</div>
	);
}

/** Keeps the end in sight while the content grows. @param what shown anew from its end when this changes */
function useEnd(what: string) {
	const box = useRef<HTMLDivElement>(null);
	const column = useRef<HTMLDivElement>(null);
	const [isAtEnd, setAtEnd] = useState(true);
	const follows = useRef(true);
	const lastTop = useRef(0);
	const scroll = () => box.current?.scrollTo({ top: box.current.scrollHeight });
	const toEnd = () => {
		follows.current = true;
		setAtEnd(true);
		scroll();
	};
	const onScroll = () => {
		if (box.current === null) return;
		const { scrollTop, scrollHeight, clientHeight } = box.current;
		// What has grown since the page scrolled by itself is no reader who left.
		if (scrollHeight - scrollTop - clientHeight < NEAR) follows.current = true;
		else if (scrollTop < lastTop.current) follows.current = false;
		lastTop.current = scrollTop;
		setAtEnd(follows.current);
	};
	useLayoutEffect(toEnd, [what]);
	useEffect(() => {
		const observer = new ResizeObserver(() => {
			if (follows.current) scroll();
		});
		if (column.current) observer.observe(column.current);
		return () => observer.disconnect();
	}, []);
	return { box, column, isAtEnd, toEnd, onScroll };
}
