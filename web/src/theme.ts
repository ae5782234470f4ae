/** Light or dark: the system's choice, or the reader's own, remembered. tokens.css does the rest. */
import { effect, signal } from "@preact/signals";
import { readStored, writeStored } from "./stored.ts";

export type Theme = "system" | "light" | "dark";

const KEY = "theme";

export const theme = signal<Theme>(parse(readStored(KEY)));

/** Keeps the document in step with `theme`. */
export function followTheme(): void {
	effect(() => {
		const { dataset } = document.documentElement;
		if (theme.value === "system") delete dataset.theme;
		else dataset.theme = theme.value;
		writeStored(KEY, theme.value);
	});
}

export function nextTheme(current: Theme): Theme {
	switch (current) {
		case "system":
			return "light";
		case "light":
			return "dark";
		case "dark":
			return "system";
		default:
			return current satisfies never;
	}
}

function parse(value: string | null): Theme {
	return value === "light" || value === "dark" ? value : "system";
}
