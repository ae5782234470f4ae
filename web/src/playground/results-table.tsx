/** The results kept, one row a run, latest first. */
import { ScrollRegion } from "../inspector/scroll-region.tsx";
import { FIGURES } from "./figures.ts";
import { dropResult, dropResults, results } from "./results.ts";

export function ResultsTable() {
	const kept = results.value;
	return (
		<section class="panel" aria-label="Results">
			<div class="picture-head">
				<h2>Results</h2>
				{kept.length > 0 && (
					<button type="button" class="button quiet" onClick={dropResults}>
						Delete all
					</button>
				)}
			</div>
			{kept.length === 0 ? (
				<p class="explain">Every run leaves a row here, for comparison.</p>
			) : (
				<ScrollRegion label="Results of runs">
					<table class="data-table results-table">
						<thead>
							<tr>
								<th scope="col">Run</th>
								{FIGURES.map(({ name, meaning }) => (
									<th scope="col" key={name} title={meaning}>
										{name}
									</th>
								))}
								<th scope="col">
									<span class="hidden-visually">Delete</span>
								</th>
							</tr>
						</thead>
						<tbody>
							{kept.map(({ id, name, place, figures }) => (
								<tr key={id}>
									<th scope="row">
										{name}
										<small>{place}</small>
									</th>
									{FIGURES.map((figure) => (
										<td key={figure.name}>{figure.text(figures) ?? "–"}</td>
									))}
									<td>
										<button
											type="button"
											class="button quiet"
											aria-label={`Delete ${name}`}
											onClick={() => dropResult(id)}
										>
											Delete
										</button>
									</td>
								</tr>
							))}
						</tbody>
					</table>
				</ScrollRegion>
			)}
		</section>
	);
}
