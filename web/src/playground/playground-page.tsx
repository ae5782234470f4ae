/** Prompts by the dozen, and what batching, paging and caching make of them: guided comparisons, or settings of one's own. */
import "../inspector/inspector.css";
import "./playground.css";
import { useMemo, useState } from "preact/hooks";
import type { Engine, EngineSettings } from "../engine.ts";
import { chosen, FREE } from "./choices.ts";
import { FreePlay } from "./free-play.tsx";
import { createPoolLoader, isLoadedHere } from "./pool-loader.ts";
import { keepResult } from "./results.ts";
import { ResultsTable } from "./results-table.tsx";
import type { RunFigures } from "./run-figures.ts";
import { ScenarioView } from "./scenario-view.tsx";
import { SCENARIOS } from "./scenarios.ts";

export interface PlaygroundProps {
	readonly engine: Engine;
	/** Loads the tab's model again with these settings; the page gets the new engine in `engine` too. null: a server, whose settings are its own. */
	readonly reload: ((settings: EngineSettings) => Promise<Engine>) | null;
}

export function PlaygroundPage({ engine, reload }: PlaygroundProps) {
	const { modelName, device, place } = engine.facts;
	const isFixed = reload === null;
	const current = isFixed ? FREE : chosen.value;
	const [isBusy, setBusy] = useState(false);
	const loader = useMemo(
		() => (reload === null ? null : createPoolLoader(reload, engine)),
		[reload, modelName],
	);
	const keep = (name: string, figures: RunFigures) =>
		keepResult({
			name,
			figures,
			place: device === null ? modelName : `${modelName}, ${device}`,
		});
	const scenario = SCENARIOS.find(({ id }) => id === current);
	return (
		<div class="playground">
			<header class="inspector-head">
				<div>
					<h1>Playground</h1>
					<p class="explain">
						Fire many prompts at once and see what the engine makes of them. The
						ideas are told at length in docs/tour.md.
					</p>
				</div>
			</header>
			{place === "server" && (
				<p class="notice">
					Guided comparisons load the model again with other settings, which a
					server does not allow from here. Choose a model in this tab to run
					them.
				</p>
			)}
			<nav class="scenario-list" aria-label="Scenarios">
				{SCENARIOS.map(({ id, title }) => (
					<Choice
						key={id}
						title={title}
						isCurrent={id === current}
						isDisabled={isBusy || loader === null}
						onClick={() => {
							chosen.value = id;
						}}
					/>
				))}
				<Choice
					title="Your own"
					isCurrent={current === FREE}
					isDisabled={isBusy}
					onClick={() => {
						chosen.value = FREE;
					}}
				/>
			</nav>
			{scenario && loader ? (
				<ScenarioView
					key={scenario.id}
					scenario={scenario}
					loader={loader}
					onBusy={setBusy}
					onResult={(variant, figures) =>
						keep(`${scenario.title}: ${variant.name}`, figures)
					}
				/>
			) : (
				<FreePlay
					engine={engine}
					loader={loader}
					onBusy={setBusy}
					onResult={keep}
				/>
			)}
			<ResultsTable />
			{reload && isLoadedHere(engine) && !isBusy && (
				<p class="notice">
					The model is loaded with the settings of the last run.{" "}
					<button
						type="button"
						class="button quiet"
						// Why it did not load is the session's to show.
						onClick={() => void reload({}).catch(() => {})}
					>
						Load it with its defaults
					</button>
				</p>
			)}
		</div>
	);
}

function Choice({
	title,
	isCurrent,
	isDisabled,
	onClick,
}: {
	readonly title: string;
	readonly isCurrent: boolean;
	readonly isDisabled: boolean;
	readonly onClick: () => void;
}) {
	return (
		<button
			type="button"
			aria-current={isCurrent ? "true" : undefined}
			disabled={isDisabled}
			onClick={onClick}
		>
			{title}
		</button>
	);
}
