/** Small settings in localStorage. A browser that keeps none (a private window, storage switched off) only forgets them. */

const PREFIX = "nano-vllm.";

export function readStored(key: string): string | null {
	try {
		return localStorage.getItem(PREFIX + key);
	} catch {
		return null;
	}
}

/** null: forget it. */
export function writeStored(key: string, value: string | null): void {
	try {
		if (value === null) localStorage.removeItem(PREFIX + key);
		else localStorage.setItem(PREFIX + key, value);
	} catch {
		// Full or forbidden: the page works all the same.
	}
}
