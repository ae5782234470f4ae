/** What the marks of a picture mean. */

export interface LegendItem {
	/** Class of the swatch: inspector.css draws it. */
	readonly mark: string;
	readonly meaning: string;
}

export function Legend({ items }: { readonly items: readonly LegendItem[] }) {
	return (
		<ul class="legend">
			{items.map(({ mark, meaning }) => (
				<li key={mark}>
					<span class={`mark ${mark}`} aria-hidden="true" />
					{meaning}
				</li>
			))}
		</ul>
	);
}

export const STEPS_LEGEND: readonly LegendItem[] = [
	{ mark: "mark-decode-bar", meaning: "above: tokens decoded" },
	{ mark: "mark-prefill-bar", meaning: "above: tokens of prompts" },
	{ mark: "mark-prefill", meaning: "lane: a chunk of a prompt" },
	{ mark: "mark-decode", meaning: "lane: one token decoded" },
	{ mark: "mark-hit", meaning: "a prefix was found in the cache" },
	{ mark: "mark-evicted", meaning: "a cached block was evicted" },
	{ mark: "mark-preempted", meaning: "a sequence was preempted" },
];

export const QUEUES_LEGEND: readonly LegendItem[] = [
	{ mark: "mark-computed", meaning: "computed" },
	{ mark: "mark-to-come", meaning: "may still come" },
	{ mark: "mark-prompt-end", meaning: "end of the prompt" },
	{ mark: "mark-cached-part", meaning: "found in the prefix cache" },
];

export const BLOCKS_LEGEND: readonly LegendItem[] = [
	{ mark: "mark-held", meaning: "held, in its sequence's colour" },
	{ mark: "mark-shared", meaning: "shared, by so many" },
	{ mark: "mark-found", meaning: "corner: a later prompt can find it" },
	{ mark: "mark-cached", meaning: "free, its prefix is still there" },
	{ mark: "mark-empty", meaning: "free and empty" },
	{ mark: "mark-lost", meaning: "its prefix was just evicted" },
	{ mark: "mark-chain", meaning: "prefix of the selected block" },
];
