/** A table or list that scrolls in itself, by the keyboard too. */
import type { ComponentChildren } from "preact";

export function ScrollRegion({
	label,
	children,
}: {
	readonly label: string;
	readonly children: ComponentChildren;
}) {
	return (
		// biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
		<section class="table-scroll" aria-label={label} tabIndex={0}>
			{children}
		</section>
	);
}
