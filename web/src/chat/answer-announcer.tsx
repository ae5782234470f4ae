/** Tells a screen reader the answer in paragraphs as they are complete. */
import { useEffect, useRef, useState } from "preact/hooks";
import { createAnnouncer } from "./announce.ts";
import type { LiveAnswer } from "./answering.ts";

export function AnswerAnnouncer({
	live,
}: {
	readonly live: LiveAnswer | null;
}) {
	const [said, setSaid] = useState("");
	const last = useRef<LiveAnswer | null>(null);
	const announce = useRef(createAnnouncer());
	if (live !== null && last.current !== live) {
		last.current = live;
		announce.current = createAnnouncer();
	}
	const frame = live?.frame.value;
	useEffect(() => {
		const text = last.current?.text ?? "";
		const news = announce.current(text, live === null);
		if (news !== "") setSaid(news);
	}, [frame, live]);
	return (
		<div class="hidden-visually" aria-live="polite">
			{said}
		</div>
	);
}
