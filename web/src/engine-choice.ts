/** Which engine the reader wants: a model in this tab, or a server. Remembered, but for dropped files, and for a server's key beyond this tab. */
import type { FileMap } from "nano-vllm";
import { readStored, writeStored } from "./stored.ts";

export type TabModel =
	/** The one that is served beside the page. */
	| { readonly kind: "bundled" }
	/** A URL or an id of the hub. */
	| { readonly kind: "named"; readonly name: string }
	| { readonly kind: "files"; readonly files: FileMap };

export type TabDevice = "auto" | "webgpu" | "cpu";

export type EngineChoice =
	| {
			readonly place: "tab";
			readonly model: TabModel;
			readonly device: TabDevice;
	  }
	| {
			readonly place: "server";
			/** Where its /v1 lies. */
			readonly address: string;
			/** "": none. */
			readonly apiKey: string;
	  };

export const BUNDLED: EngineChoice = {
	place: "tab",
	model: { kind: "bundled" },
	device: "auto",
};

const KEY = "engine";
const SECRET = "nano-vllm.api-key";

export function rememberChoice(choice: EngineChoice): void {
	if (choice.place === "server") {
		const { place, address, apiKey } = choice;
		writeStored(KEY, JSON.stringify({ place, address }));
		rememberKey(apiKey);
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
		const { model, device } = value;
		const known = device === "webgpu" || device === "cpu" ? device : "auto";
		return { place: "tab", model, device: known };
	} catch {
		return null;
	}
}

/** sessionStorage: gone with the tab. */
function rememberKey(apiKey: string): void {
	try {
		sessionStorage.setItem(SECRET, apiKey);
	} catch {
		// The reader will be asked again.
	}
}

export function rememberedKey(): string {
	try {
		return sessionStorage.getItem(SECRET) ?? "";
	} catch {
		return "";
	}
}
