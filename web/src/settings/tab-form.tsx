/** A model for this tab: the bundled one, one from the web, or the reader's own files; and the device it shall run on. */
import { useState } from "preact/hooks";
import type { FileMap } from "../../../src/browser.ts";
import { BUNDLED_BYTES } from "../bundled-model.ts";
import type {
	TabChoice,
	TabDevice,
	TabModel,
	TabSettings,
} from "../engine-choice.ts";
import { Field } from "../field.tsx";
import { session, startEngine } from "../session.ts";
import { FilesField } from "./files-field.tsx";
import { MoreOptions } from "./more-options.tsx";

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

const ONE_THREAD =
	"This page is not cross-origin isolated, so the CPU runs on one thread. Its server can send the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.";

export function TabForm({ chosen }: { readonly chosen: TabChoice | null }) {
	const model = chosen?.model;
	const [kind, setKind] = useState<TabModel["kind"]>(model?.kind ?? "bundled");
	const [name, setName] = useState(model?.kind === "named" ? model.name : "");
	const [files, setFiles] = useState<FileMap | null>(
		model?.kind === "files" ? model.files : null,
	);
	const [isKept, setKept] = useState(false);
	const [device, setDevice] = useState<TabDevice>(chosen?.device ?? "auto");
	const [settings, setSettings] = useState<TabSettings>(chosen?.settings ?? {});
	const wanted = modelOf(kind, name.trim(), files, isKept);
	const isLoading = session.value.kind === "loading";
	return (
		<form
			class="settings-form"
			onSubmit={(event) => {
				event.preventDefault();
				if (wanted === null) return;
				void startEngine({ place: "tab", model: wanted, device, settings });
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
				<Field
					label="Name or address"
					hint="An id of the Hugging Face hub, or the URL of a folder with safetensors or of a GGUF. It is kept in this browser."
				>
					{(control) => (
						<input
							{...control}
							value={name}
							spellcheck={false}
							placeholder="Qwen/Qwen3-0.6B"
							onInput={({ currentTarget }) => setName(currentTarget.value)}
						/>
					)}
				</Field>
			)}
			{kind === "files" && (
				<>
					<FilesField files={files} onFiles={setFiles} />
					<label class="check">
						<input
							type="checkbox"
							checked={isKept}
							onChange={() => setKept(!isKept)}
						/>
						Keep a copy in this browser
					</label>
				</>
			)}
			<DeviceField device={device} onDevice={setDevice} />
			<MoreOptions settings={settings} onSettings={setSettings} />
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
	isKept: boolean,
): TabModel | null {
	switch (kind) {
		case "bundled":
			return { kind };
		case "named":
			return name === "" ? null : { kind, name };
		case "files":
			return files && { kind, files, isKept };
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
		<Field label="Device" hint={crossOriginIsolated ? undefined : ONE_THREAD}>
			{(control) => (
				<select
					{...control}
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
			)}
		</Field>
	);
}
