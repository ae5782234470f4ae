/** The figures of one run. */
import { FIGURES } from "./figures.ts";
import type { RunFigures } from "./run-figures.ts";

export function FiguresList({ figures }: { readonly figures: RunFigures }) {
	return (
		<dl class="figures" aria-label="Figures of the run">
			{FIGURES.map(({ name, meaning, text }) => (
				<div key={name} data-figure={name} title={meaning}>
					<dt>{name}</dt>
					<dd>{text(figures) ?? "not shown"}</dd>
				</div>
			))}
		</dl>
	);
}
