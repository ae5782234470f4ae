/** The engine as it works: time on top, then figures, steps, queues and blocks of the moment shown. */
import "./inspector.css";
import { useCallback } from "preact/hooks";
import type { Engine } from "../engine.ts";
import { BlocksPanel } from "./blocks-panel.tsx";
import { watchOf } from "./engine-watch.ts";
import { NumbersPanel } from "./numbers-panel.tsx";
import { QueuesPanel } from "./queues-panel.tsx";
import { StepsPanel } from "./steps-panel.tsx";
import { Transport } from "./transport.tsx";
import { TryIt } from "./try-it.tsx";
import { useTick } from "./use-tick.ts";
import type { Watch } from "./watch.ts";

export function InspectorPage({ engine }: { readonly engine: Engine }) {
	const watch = watchOf(engine);
	return (
		<div class="inspector">
			<header class="inspector-head">
				<div>
					<h1>Inspector</h1>
					<p class="explain">
						What {engine.facts.modelName} does with everybody's requests at
						once: chat, run the playground, or fire some prompts from here. The
						design is told in docs/tour.md.
					</p>
				</div>
				<TryIt engine={engine} />
			</header>
			<Ended watch={watch} />
			<Transport watch={watch} engine={engine} />
			<Pictures watch={watch} engine={engine} />
		</div>
	);
}

function Ended({ watch }: { readonly watch: Watch }) {
	useTick(watch.subscribe);
	const { endReason } = watch;
	if (endReason === null) return null;
	return (
		<p class="notice error" role="alert">
			No more events come: {endReason}
		</p>
	);
}

function Pictures({
	watch,
	engine,
}: {
	readonly watch: Watch;
	readonly engine: Engine;
}) {
	useTick(watch.subscribeToEngine);
	const detokenize = useCallback(
		(ids: readonly number[]) => engine.detokenize(ids),
		[engine],
	);
	if (!watch.isTold && watch.endReason !== null) return null;
	if (!watch.isTold)
		return <p class="notice">Waiting for the engine's first event …</p>;
	return (
		<>
			<NumbersPanel watch={watch} />
			<div class="panels">
				<div class="panel-column">
					<StepsPanel watch={watch} />
					<QueuesPanel watch={watch} />
				</div>
				<BlocksPanel watch={watch} detokenize={detokenize} />
			</div>
		</>
	);
}
