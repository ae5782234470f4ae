/** The pictures of one run, while it goes on and after. */
import { BlocksPanel } from "../inspector/blocks-panel.tsx";
import { StepsPanel } from "../inspector/steps-panel.tsx";
import { useTick } from "../inspector/use-tick.ts";
import type { Watch } from "../inspector/watch.ts";

export function RunPictures({ watch }: { readonly watch: Watch }) {
	useTick(watch.subscribeToEngine);
	if (!watch.isTold)
		return <p class="notice">No pictures: the engine shows no events.</p>;
	return (
		<div class="panel-column">
			<StepsPanel watch={watch} hasExplanation={false} initialZoom={1} />
			<BlocksPanel
				watch={watch}
				hasExplanation={false}
				detokenize={null}
				maxHeight={200}
			/>
		</div>
	);
}
