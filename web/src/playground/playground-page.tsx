/** Prompts by the dozen, and what batching, paging and caching make of them. */
import type { Engine, EngineSettings } from "../engine.ts";

export interface PlaygroundProps {
	readonly engine: Engine;
	/** Loads the tab's model again with these settings; the page gets the new engine in `engine` too. null: a server, whose settings are its own. */
	readonly reload: ((settings: EngineSettings) => Promise<Engine>) | null;
}

export function PlaygroundPage({ engine }: PlaygroundProps) {
	return (
		<div class="page-column">
			<h1>Playground</h1>
			<p>{engine.facts.modelName}</p>
		</div>
	);
}
