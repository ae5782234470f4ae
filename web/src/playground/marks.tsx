/** What the marks of all pictures of a page mean, told once. */
import { BLOCKS_LEGEND, Legend, STEPS_LEGEND } from "../inspector/legend.tsx";

export function Marks() {
	return (
		<div class="marks">
			<Legend items={STEPS_LEGEND} />
			<Legend items={BLOCKS_LEGEND} />
		</div>
	);
}
