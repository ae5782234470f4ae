/** The pictures of one run, while it goes on and after: then the pool is shown as it was when it was fullest. */
import { BlocksPanel } from "../inspector/blocks-panel.tsx";
import { StepsPanel } from "../inspector/steps-panel.tsx";
import { Timeline } from "../inspector/transport.tsx";
import { useTick } from "../inspector/use-tick.ts";
import { fullestMoment } from "../inspector/views.ts";
import type { Watch } from "../inspector/watch.ts";

export function RunPictures({
	watch,
	isOver,
}: {
	readonly watch: Watch;
	readonly isOver: boolean;
}) {
	useTick(watch.subscribeToEngine);
	if (!watch.isTold)
		return <p class="notice">No pictures: the engine shows no events.</p>;
	return (
		<div class="panel-column">
			{isOver && <RunTime watch={watch} />}
			<StepsPanel watch={watch} hasExplanation={false} initialZoom={1} />
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
