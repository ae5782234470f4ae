/** A model for this tab: the bundled one, one from the web, or the reader's own files; and the device it shall run on. */
import { useState } from "preact/hooks";
import type { FileMap } from "../../../src/browser.ts";
import { BUNDLED_BYTES } from "../bundled-model.ts";
import type { EngineChoice, TabDevice, TabModel } from "../engine-choice.ts";
import { session, startEngine } from "../session.ts";
import { FilesField } from "./files-field.tsx";

type TabChoice = Extract<EngineChoice, { place: "tab" }>;

const SOURCES = [
	["bundled", `The bundled model, ${Math.round(BUNDLED_BYTES / 1e6)} MB`],
	["named", "From the web"],
	["files", "Files on this computer"],
] as const;

const DEVICES = [
	["auto", "Automatic"],
	["webgpu", "GPU (WebGPU)"],
	["cpu", "CPU (WebAssembly)"],
] as const;

export function TabForm({ chosen }: { readonly chosen: TabChoice | null }) {
	const model = chosen?.model;
	const [kind, setKind] = useState<TabModel["kind"]>(model?.kind ?? "bundled");
	const [name, setName] = useState(model?.kind === "named" ? model.name : "");
	const [files, setFiles] = useState<FileMap | null>(
		model?.kind === "files" ? model.files : null,
	);
	const [device, setDevice] = useState<TabDevice>(chosen?.device ?? "auto");
	const wanted = modelOf(kind, name.trim(), files);
	const isLoading = session.value.kind === "loading";
	return (
		<form
			class="settings-form"
			onSubmit={(event) => {
				event.preventDefault();
				if (wanted) void startEngine({ place: "tab", model: wanted, device });
			}}
		>
			<fieldset class="choices">
				<legend>Model</legend>
				{SOURCES.map(([it, label]) => (
					<label key={it}>
						<input
							type="radio"
							name="source"
							checked={kind === it}
							onChange={() => setKind(it)}
						/>
						{label}
					</label>
				))}
			</fieldset>
			{kind === "named" && (
				<label class="field">
					Name or address
					<input
						value={name}
						spellcheck={false}
						placeholder="Qwen/Qwen3-0.6B"
						onInput={({ currentTarget }) => setName(currentTarget.value)}
					/>
					<span class="hint">
						An id of the Hugging Face hub, or the URL of a folder with
						safetensors or of a GGUF.
					</span>
				</label>
			)}
			{kind === "files" && <FilesField files={files} onFiles={setFiles} />}
			<DeviceField device={device} onDevice={setDevice} />
			<div class="button-row">
				<button
					type="submit"
					class="button primary"
					disabled={wanted === null || isLoading}
				>
					Load
				</button>
			</div>
		</form>
	);
}

/** null: something is missing. */
function modelOf(
	kind: TabModel["kind"],
	name: string,
	files: FileMap | null,
): TabModel | null {
	switch (kind) {
		case "bundled":
			return { kind };
		case "named":
			return name === "" ? null : { kind, name };
		case "files":
			return files && { kind, files };
		default:
			return kind satisfies never;
	}
}

function DeviceField({
	device,
	onDevice,
}: {
	readonly device: TabDevice;
	readonly onDevice: (device: TabDevice) => void;
}) {
	return (
		<label class="field">
			Device
			<select
				value={device}
				onChange={({ currentTarget }) =>
					onDevice(currentTarget.value as TabDevice)
				}
			>
				{DEVICES.map(([it, label]) => (
					<option key={it} value={it}>
						{label}
					</option>
				))}
			</select>
			{!crossOriginIsolated && (
				<span class="hint">
					This page is not cross-origin isolated, so the CPU runs on one thread.
					Its server can send the headers Cross-Origin-Opener-Policy:
					same-origin and Cross-Origin-Embedder-Policy: require-corp.
				</span>
			)}
		</label>
	);
}
