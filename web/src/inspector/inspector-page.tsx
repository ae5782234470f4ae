/** The engine as it works: steps, queues, blocks. */
import type { Engine } from "../engine.ts";

export function InspectorPage({ engine }: { readonly engine: Engine }) {
	return (
		<div class="page-column">
			<h1>Inspector</h1>
			<p>{engine.facts.modelName}</p>
		</div>
	);
}
