/** What stands where a page would: no model yet, one being loaded, one that failed. A page stays as it is while its engine is loaded anew. */
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { BUNDLED_BYTES } from "./bundled-model.ts";
import type { Engine } from "./engine.ts";
import { BUNDLED } from "./engine-choice.ts";
import { LoadProgressBar } from "./load-progress.tsx";
import { session, startEngine } from "./session.ts";

export function NeedsEngine({
	children,
}: {
	readonly children: (engine: Engine) => ComponentChildren;
}) {
	const last = useRef<Engine | null>(null);
	const { value } = session;
	if (value.kind === "ready") last.current = value.engine;
	if (value.kind === "none" || value.kind === "failed") last.current = null;
	if (last.current !== null) return <>{children(last.current)}</>;
	return (
		<div class="page-column">
			<EngineStart />
		</div>
	);
}

/** A way to begin, or how far it is. */
export function EngineStart() {
	const { value } = session;
	switch (value.kind) {
		case "none":
			return (
				<div class="engine-start">
					<h1>A language model in this tab</h1>
					<p class="hint">
						It runs on your own machine, and what you write stays there. The
						bundled model is small: it tells children's stories and knows a
						little about inference engines.
					</p>
					<div class="button-row">
						<button
							type="button"
							class="button primary"
							onClick={() => startEngine(BUNDLED)}
						>
							Start the bundled model, {Math.round(BUNDLED_BYTES / 1e6)} MB
						</button>
						<a class="button" href="#/settings">
							Another model or a server
						</a>
					</div>
				</div>
			);
		case "loading":
			return <LoadProgressBar progress={value.progress} />;
		case "failed":
			return (
				<div class="notice error" role="alert">
					<p>{value.message}</p>
					<div class="button-row">
						<button
							type="button"
							class="button"
							onClick={() => startEngine(value.choice)}
						>
							Load again
						</button>
						<a class="button" href="#/settings">
							Settings
						</a>
					</div>
				</div>
			);
		case "ready":
			return null;
		default:
			return value satisfies never;
	}
}
