/** Markdown on the page. While it grows only its last block is made again. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { markdownNodes } from "./markdown-dom.ts";
import { createMarkdownStream, type MarkdownBlock } from "./markdown-stream.ts";

export interface MarkdownProps {
	readonly text: string;
	/** Whether more may come. */
	readonly isGrowing: boolean;
}

export function MarkdownView({ text, isGrowing }: MarkdownProps) {
	const stream = useRef<ReturnType<typeof createMarkdownStream>>(null);
	stream.current ??= createMarkdownStream();
	const blocks = stream.current.update(text);
	return (
		<div class="markdown">
			{blocks.map((block, i) => (
				<Block
					key={block.start}
					block={block}
					isGrowing={isGrowing && i === blocks.length - 1}
				/>
			))}
		</div>
	);
}

function Block({
	block,
	isGrowing,
}: {
	readonly block: MarkdownBlock;
	readonly isGrowing: boolean;
}) {
	const place = useRef<HTMLDivElement>(null);
	useLayoutEffect(() => {
		place.current?.replaceChildren(markdownNodes(block.tokens, isGrowing));
	}, [block, isGrowing]);
	return <div ref={place} />;
}
