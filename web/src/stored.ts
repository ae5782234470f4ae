/** Small settings in the browser's storage. A browser that keeps none (a private window, storage switched off) only forgets them. */

const PREFIX = "nano-vllm.";

/** "tab": gone when the tab is closed; "browser": kept. */
export type StoredFor = "browser" | "tab";

export function readStored(
	key: string,
	where: StoredFor = "browser",
): string | null {
	try {
		return storage(where).getItem(PREFIX + key);
	} catch {
		return null;
	}
}

/** null: forget it. */
export function writeStored(
	key: string,
	value: string | null,
	where: StoredFor = "browser",
): void {
	try {
		if (value === null) storage(where).removeItem(PREFIX + key);
		else storage(where).setItem(PREFIX + key, value);
	} catch {
		// Full or forbidden: the page works all the same.
	}
}

const storage = (where: StoredFor): Storage =>
	where === "tab" ? sessionStorage : localStorage;
