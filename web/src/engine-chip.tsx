/** One line in the bar: which model answers, where, or what becomes of it. Leads to the settings. */
import { type Session, session } from "./session.ts";

export function EngineChip() {
	const { name, device, dot } = summary(session.value);
	return (
		<a class="engine-chip" href="#/settings" title={`${name} ${device}`.trim()}>
			<span class={`dot ${dot}`} aria-hidden="true" />
			<span class="name">{name}</span>
			{device && <span class="device">{device}</span>}
		</a>
	);
}

const DEVICES: Readonly<Record<string, string>> = {
	webgpu: "GPU",
	cpu: "CPU",
	server: "server",
};

function summary(value: Session): {
	name: string;
	device: string;
	dot: string;
} {
	switch (value.kind) {
		case "none":
			return { name: "No model", device: "", dot: "" };
		case "loading":
			return { name: "Loading", device: percent(value.progress), dot: "" };
		case "ready": {
			const { modelName, device, place } = value.engine.facts;
			const name = modelName.split("/").at(-1) ?? modelName;
			return { name, device: DEVICES[device ?? place] ?? place, dot: "ready" };
		}
		case "failed":
			return { name: "Model lost", device: "", dot: "failed" };
		default:
			return value satisfies never;
	}
}

function percent(
	progress: { loadedBytes: number; totalBytes: number } | null,
): string {
	if (progress === null || progress.totalBytes === 0) return "";
	return `${Math.floor((100 * progress.loadedBytes) / progress.totalBytes)} %`;
}
