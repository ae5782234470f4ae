/** The KV pool: map, legend, words for the block that is pointed at; a click opens the block. */
import { useMemo, useState } from "preact/hooks";
import { BlockDetails } from "./block-details.tsx";
import {
	blockAt,
	blocksPicture,
	gridOf,
	numBlocksDrawn,
} from "./blocks-picture.ts";
import { Canvas } from "./canvas.tsx";
import { describeBlock } from "./describe.ts";
import { BLOCKS_LEGEND, Legend } from "./legend.tsx";
import { count } from "./numbers.ts";
import { useTick } from "./use-tick.ts";
import { blockFacts, blocksView } from "./views.ts";
import type { Watch } from "./watch.ts";

export interface BlocksPanelProps {
	readonly watch: Watch;
	readonly hasExplanation?: boolean;
	/** Text of tokens; null: blocks cannot be opened. */
	readonly detokenize: ((ids: readonly number[]) => Promise<string>) | null;
	/** CSS pixels, at most. */
	readonly maxHeight?: number;
	/** Event whose moment is shown while the watch is live; null: the latest's. */
	readonly index?: number | null;
}

export function BlocksPanel({
	watch,
	hasExplanation = true,
	detokenize,
	maxHeight = 460,
	index = null,
}: BlocksPanelProps) {
	useTick(watch.subscribeToEngine);
	const [width, setWidth] = useState(0);
	const { numBlocks, blockSize } = watch.history.live?.engine ?? NO_POOL;
	const [isAll, setAll] = useState(false);
	const numDrawn = numBlocksDrawn(numBlocks, watch.numTouchedBlocks, isAll);
	const grid = gridOf(numDrawn, width || 600, maxHeight);
	const picture = useMemo(
		() => blocksPicture(() => blocksView(watch, numDrawn, index)),
		[watch, numDrawn, index],
	);
	const at = (x: number, y: number) => blockAt(grid, numDrawn, x, y);
	return (
		<section class="panel" aria-label="Blocks">
			<div class="picture-head">
				<h2>KV pool{index !== null && ", at its fullest"}</h2>
				<span class="moment">
					{count(numBlocks)} blocks of {blockSize} tokens
				</span>
			</div>
			{hasExplanation && (
				<p class="explain">
					Keys and values of all tokens lie in blocks of {blockSize} tokens,
					anywhere in the pool; each sequence has a table of its blocks. Full
					blocks are found again by what they hold: prompts that begin alike
					share them, and freed ones keep their content until their room is
					needed.
				</p>
			)}
			<Canvas
				picture={picture}
				frames={watch.frames}
				subscribe={watch.subscribe}
				height={grid.numRows * grid.cell}
				label={`Map of ${count(numDrawn)} blocks. Arrow keys move from block to block, Escape leaves.`}
				onWidth={setWidth}
				onPoint={(x, y) => watch.pointAtBlock(at(x, y))}
				onLeave={() => watch.pointAtBlock(null)}
				onPick={(x, y) => watch.selectBlock(at(x, y))}
				onKey={(event) => moveByKey(event, watch, grid.numColumns, numDrawn)}
			/>
			{(numDrawn < numBlocks || isAll) && (
				<p class="hint">
					{isAll
						? `The first ${count(numDrawn)} blocks are drawn. `
						: `The first ${count(numDrawn)} are drawn; the others were never used. `}
					<button type="button" class="link" onClick={() => setAll(!isAll)}>
						{isAll ? "Only those that were used" : "All"}
					</button>
				</p>
			)}
			<BlockWords watch={watch} index={index} />
			{hasExplanation && <Legend items={BLOCKS_LEGEND} />}
			{detokenize && <BlockDetails watch={watch} detokenize={detokenize} />}
		</section>
	);
}

const NO_POOL = { numBlocks: 0, blockSize: 0 };

function wordsOf(watch: Watch, block: number, index: number | null): string {
	const facts = blockFacts(watch, block, index);
	return facts === null ? "No such block." : describeBlock(facts);
}

function moveByKey(
	event: KeyboardEvent,
	watch: Watch,
	numColumns: number,
	numDrawn: number,
): void {
	const moves: Readonly<Record<string, number>> = {
		ArrowLeft: -1,
		ArrowRight: 1,
		ArrowUp: -numColumns,
		ArrowDown: numColumns,
		Home: -Infinity,
		End: Infinity,
	};
	if (event.key === "Escape") watch.selectBlock(null);
	else if (event.key in moves) watch.moveBlock(moves[event.key], numDrawn);
	else return;
	event.preventDefault();
}

function BlockWords({
	watch,
	index,
}: {
	readonly watch: Watch;
	readonly index: number | null;
}) {
	useTick(watch.subscribe);
	const block = watch.pointedBlock ?? watch.selectedBlock;
	return (
		<p class="live-line" aria-live="polite">
			{block === null
				? "Point at a block, or go through them with the arrow keys."
				: wordsOf(watch, block, index)}
		</p>
	);
}
