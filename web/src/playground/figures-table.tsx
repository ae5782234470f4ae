/** Figures of runs side by side, one column a run. */
import { ScrollRegion } from "../inspector/scroll-region.tsx";
import { FIGURES } from "./figures.ts";
import type { RunFigures } from "./run-figures.ts";

export interface RunColumn {
	readonly name: string;
	/** null: not run yet. */
	readonly figures: RunFigures | null;
}

export function FiguresTable({
	caption,
	columns,
}: {
	readonly caption: string;
	readonly columns: readonly RunColumn[];
}) {
	return (
		<ScrollRegion label={caption}>
			<table class="data-table figures-table">
				<caption class="hidden-visually">{caption}</caption>
				<thead>
					<tr>
						<th scope="col">Figure</th>
						{columns.map(({ name }) => (
							<th scope="col" key={name}>
								{name}
							</th>
						))}
					</tr>
				</thead>
				<tbody>
					{FIGURES.map(({ name, meaning, text }) => (
						<tr key={name}>
							<th scope="row" title={meaning}>
								{name}
							</th>
							{columns.map((column) => (
								<td key={column.name}>
									{column.figures === null
										? "–"
										: (text(column.figures) ?? "not shown")}
								</td>
							))}
						</tr>
					))}
				</tbody>
			</table>
		</ScrollRegion>
	);
}
