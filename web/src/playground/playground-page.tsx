/** Prompts by the dozen, and what batching, paging and caching make of them: guided comparisons, or settings of one's own. */
import "../inspector/inspector.css";
import "./playground.css";
import { useMemo, useState } from "preact/hooks";
import type { Engine, EngineSettings } from "../engine.ts";
import { FreePlay } from "./free-play.tsx";
import { createPoolLoader } from "./pool-loader.ts";
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

const FREE = "free";

export function PlaygroundPage({ engine, reload }: PlaygroundProps) {
	const { modelName, device, place } = engine.facts;
	const [chosen, setChosen] = useState(
		reload === null ? FREE : SCENARIOS[0].id,
	);
	const [isBusy, setBusy] = useState(false);
	const [isChanged, setChanged] = useState(false);
	const loader = useMemo(() => {
		if (reload === null) return null;
		const changed = (settings: EngineSettings) => {
			setChanged(true);
			return reload(settings);
		};
		return createPoolLoader(changed, engine);
	}, [reload, modelName]);
	const keep = (name: string, figures: RunFigures) =>
		keepResult({
			name,
			figures,
			place: device === null ? modelName : `${modelName}, ${device}`,
		});
	const scenario = SCENARIOS.find(({ id }) => id === chosen);
	return (
		<div class="playground">
			<header class="inspector-head">
				<div>
					<h1>Playground</h1>
					<p class="explain">
						Fire many prompts at once and see what the engine makes of them. The
						ideas are told at length in docs/structure.md.
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
						isCurrent={id === chosen}
						isDisabled={isBusy || loader === null}
						onClick={() => setChosen(id)}
					/>
				))}
				<Choice
					title="Your own"
					isCurrent={chosen === FREE}
					isDisabled={isBusy}
					onClick={() => setChosen(FREE)}
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
			{isChanged && reload && !isBusy && (
				<p class="notice">
					The model is loaded with the settings of the last run.{" "}
					<button
						type="button"
						class="button quiet"
						onClick={async () => {
							await reload({});
							setChanged(false);
						}}
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
