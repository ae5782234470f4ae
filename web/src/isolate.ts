/** Makes the page cross-origin isolated where its host does not: a service worker adds the headers, and the page is loaded once more. */
import { readStored, writeStored } from "./stored.ts";

const KEY = "isolation-tried";

/** Without it everything works on one thread. */
export async function isolate(): Promise<void> {
	if (crossOriginIsolated) return writeStored(KEY, null);
	// Once: where it did not help, it will not.
	if (readStored(KEY) !== null || !isSecureContext) return;
	if (import.meta.env.DEV || !("serviceWorker" in navigator)) return;
	writeStored(KEY, "yes");
	try {
		await navigator.serviceWorker.register("isolation-worker.js");
		await navigator.serviceWorker.ready;
		location.reload();
	} catch {
		// A host that sends no scripts as service workers, or a browser that allows none.
	}
}
