/** How far a model is on its way. */
import type { LoadProgress } from "nano-vllm";
import { stopEngine } from "./session.ts";

export function LoadProgressBar({
	progress,
}: {
	readonly progress: LoadProgress | null;
}) {
	const label = labelOf(progress);
	return (
		<div class="load-progress">
			<p id="load-label" role="status">
				{label}
			</p>
			<progress
				aria-labelledby="load-label"
				max={progress?.totalBytes || 1}
				value={progress?.loadedBytes}
			/>
			<div class="button-row">
				<span class="hint">{progress && amounts(progress)}</span>
				<button type="button" class="button" onClick={stopEngine}>
					Cancel
				</button>
			</div>
		</div>
	);
}

function labelOf(progress: LoadProgress | null): string {
	if (progress === null) return "Looking for the model";
	return progress.stage === "download"
		? "Fetching the model"
		: "Putting the model on the device";
}

function amounts({ loadedBytes, totalBytes }: LoadProgress): string {
	return `${megabytes(loadedBytes)} of ${megabytes(totalBytes)}`;
}

export function megabytes(numBytes: number): string {
	return numBytes < 1e9
		? `${(numBytes / 1e6).toFixed(1)} MB`
		: `${(numBytes / 1e9).toFixed(2)} GB`;
}
