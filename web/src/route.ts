/** Which page the address names: "#/chat", "#/inspector" … A hash, so that any static host will do. */
import { signal } from "@preact/signals";

export const PAGES = ["chat", "inspector", "playground", "settings"] as const;
export type Page = (typeof PAGES)[number];

export const page = signal<Page>(pageOf(location.hash));

addEventListener("hashchange", () => {
	page.value = pageOf(location.hash);
});

/** Anything unknown is the chat. */
function pageOf(hash: string): Page {
	const name = hash.replace(/^#\//, "");
	return PAGES.find((it) => it === name) ?? "chat";
}
