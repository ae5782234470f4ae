/** Which engine the reader wants: a model in this tab, or a server. Remembered, but for dropped files, and for a server's key beyond this tab. */
import type { FileMap, LoadOptions } from "nano-vllm";
import { readStored, writeStored } from "./stored.ts";

export type TabModel =
	/** The one that is served beside the page. */
	| { readonly kind: "bundled" }
	/** A URL, an id of the hub, or what this browser keeps. */
	| { readonly kind: "named"; readonly name: string }
	| {
			readonly kind: "files";
			readonly files: FileMap;
			/** Whether the browser shall keep a copy. */
			readonly isKept: boolean;
	  };

/** What else may be said of the tab's engine; absent: its own defaults. */
export type TabSettings = Pick<
	LoadOptions,
	"quantization" | "maxModelLen" | "maxNumSeqs" | "maxNumBatchedTokens"
>;

export type TabDevice = "auto" | "webgpu" | "cpu";

export interface TabChoice {
	readonly place: "tab";
	readonly model: TabModel;
	readonly device: TabDevice;
	readonly settings: TabSettings;
}

export interface ServerChoice {
	readonly place: "server";
	/** Where its /v1 lies. */
	readonly address: string;
	/** "": none. */
	readonly apiKey: string;
}

export type EngineChoice = TabChoice | ServerChoice;

export const BUNDLED: TabChoice = {
	place: "tab",
	model: { kind: "bundled" },
	device: "auto",
	settings: {},
};

const KEY = "engine";
const SECRET = "api-key";

export function rememberChoice(choice: EngineChoice): void {
	if (choice.place === "server") {
		const { place, address, apiKey } = choice;
		writeStored(KEY, JSON.stringify({ place, address }));
		writeStored(SECRET, apiKey, "tab");
	} else if (choice.model.kind !== "files")
		writeStored(KEY, JSON.stringify(choice));
}

/** null: nothing was chosen yet. */
export function rememberedChoice(): EngineChoice | null {
	try {
		const value = JSON.parse(readStored(KEY) ?? "null");
		if (value?.place === "server" && typeof value.address === "string")
			return { ...value, apiKey: rememberedKey() };
		const kind = value?.model?.kind;
		if (kind !== "bundled" && typeof value?.model?.name !== "string")
			return null;
		const { model, device, settings } = value;
		const known = device === "webgpu" || device === "cpu" ? device : "auto";
		return { place: "tab", model, device: known, settings: settings ?? {} };
	} catch {
		return null;
	}
}

export const rememberedKey = (): string => readStored(SECRET, "tab") ?? "";
