/** The pictures of one run, while it goes on and after: then the pool is shown as it was when it was fullest. */
import { BlocksPanel } from "../inspector/blocks-panel.tsx";
import { StepsPanel, zoomFor } from "../inspector/steps-panel.tsx";
import { Timeline } from "../inspector/transport.tsx";
import { useTick } from "../inspector/use-tick.ts";
import { fullestMoment } from "../inspector/views.ts";
import type { Watch } from "../inspector/watch.ts";

const UNKNOWN_STEPS = 90;

export function RunPictures({
	watch,
	isOver,
	numSteps,
}: {
	readonly watch: Watch;
	readonly isOver: boolean;
	/** So many shall be seen at once, where they can; null: it is not known yet. */
	readonly numSteps: number | null;
}) {
	const zoom = zoomFor(numSteps ?? UNKNOWN_STEPS);
	useTick(watch.subscribeToEngine);
	if (!watch.isTold)
		return <p class="notice">No pictures: the engine shows no events.</p>;
	return (
		<div class="panel-column">
			{isOver && <RunTime watch={watch} />}
			<StepsPanel
				key={zoom}
				watch={watch}
				hasExplanation={false}
				initialZoom={zoom}
			/>
			<BlocksPanel
				watch={watch}
				hasExplanation={false}
				detokenize={null}
				maxHeight={200}
				index={isOver ? fullestMoment(watch) : null}
			/>
		</div>
	);
}

/** Back through the run. */
function RunTime({ watch }: { readonly watch: Watch }) {
	useTick(watch.subscribe);
	const isLive = watch.mode.kind === "live";
	return (
		<div class="run-time">
			<Timeline watch={watch} />
			<button
				type="button"
				class="button quiet"
				disabled={isLive}
				onClick={() => watch.goLive()}
			>
				Whole run
			</button>
		</div>
	);
}
