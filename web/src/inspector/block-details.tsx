/** One block: what it holds, who holds it, and the prefix it continues, block by block back to the beginning. */
import { useEffect, useState } from "preact/hooks";
import { count } from "./numbers.ts";
import { nameOf } from "./sequence-style.ts";
import { useTick } from "./use-tick.ts";
import { type BlockPrefix, blockFacts, blockPrefix } from "./views.ts";
import type { Watch } from "./watch.ts";

type Detokenize = (ids: readonly number[]) => Promise<string>;

export function BlockDetails({
	watch,
	detokenize,
}: {
	readonly watch: Watch;
	readonly detokenize: Detokenize;
}) {
	useTick(watch.subscribe);
	const block = watch.selectedBlock;
	if (block === null) return null;
	const { state } = watch;
	const facts = blockFacts(watch, block);
	const content = state && blockPrefix(state, block);
	if (facts === null || content === null) return null;
	return (
		<section class="panel-column" aria-label={`Block ${block}`}>
			<div class="picture-head">
				<h2>Block {block}</h2>
				<button
					type="button"
					class="button quiet"
					onClick={() => watch.selectBlock(null)}
				>
					Close
				</button>
			</div>
			<dl class="block-facts">
				<dt>Held by</dt>
				<dd class="chips">
					{facts.holders.length === 0 && "nobody"}
					{facts.holders.map((arrival) => (
						<button
							type="button"
							class="chip"
							key={arrival}
							onClick={() => watch.point(arrival)}
						>
							{nameOf(arrival)}
						</button>
					))}
				</dd>
				<dt>References</dt>
				<dd>{facts.numReferences}</dd>
				<dt>Prefix cache</dt>
				<dd>
					{content.contentId === 0
						? "not a full, computed block"
						: facts.isCached
							? `prefix ${content.contentId}: a later prompt can find it`
							: `prefix ${content.contentId}, found through another block`}
				</dd>
				<dt>Tokens</dt>
				<dd>
					{content.tokenIds.length === 0
						? "none known"
						: content.tokenIds.join(" ")}
				</dd>
			</dl>
			<TokenText ids={content.tokenIds} detokenize={detokenize} />
			<Chain watch={watch} prefix={content} detokenize={detokenize} />
		</section>
	);
}

function TokenText({
	ids,
	detokenize,
}: {
	readonly ids: readonly number[];
	readonly detokenize: Detokenize;
}) {
	const text = useText(ids, detokenize);
	if (ids.length === 0) return null;
	return <pre class="block-text">{text}</pre>;
}

function Chain({
	watch,
	prefix: { chain: links, isWhole },
	detokenize,
}: {
	readonly watch: Watch;
	readonly prefix: BlockPrefix;
	readonly detokenize: Detokenize;
}) {
	if (links.length === 0) return null;
	return (
		<section aria-label="Prefix">
			<p class="explain">
				The prefix it continues, {count(links.length)}{" "}
				{links.length === 1 ? "block" : "blocks"} with its own
				{isWhole ? "" : "; what stood before them is no longer in the pool"}:
			</p>
			<ol class="chain">
				{links.map(({ block, tokenIds }) => (
					<li key={block}>
						<button
							type="button"
							aria-current={block === watch.selectedBlock}
							onClick={() => watch.selectBlock(block)}
						>
							<span>block {block}</span>
							<Excerpt ids={tokenIds} detokenize={detokenize} />
						</button>
					</li>
				))}
			</ol>
		</section>
	);
}

function Excerpt({
	ids,
	detokenize,
}: {
	readonly ids: readonly number[];
	readonly detokenize: Detokenize;
}) {
	return <span class="excerpt">{useText(ids, detokenize)}</span>;
}

/** "…" until it is there, and the ids where it does not come. */
function useText(ids: readonly number[], detokenize: Detokenize): string {
	const [text, setText] = useState("…");
	const key = ids.join(" ");
	useEffect(() => {
		let isCurrent = true;
		const show = (result: string) => {
			if (isCurrent) setText(result);
		};
		if (key === "") show("");
		else detokenize(key.split(" ").map(Number)).then(show, () => show(key));
		return () => {
			isCurrent = false;
		};
	}, [key, detokenize]);
	return text;
}
