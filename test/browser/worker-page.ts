/** The side of the browser: nano-vllm/browser as a page imports it, on the global object for tests to call. Bundled by bundle.ts. */
import * as library from "../../src/browser.ts";

declare global {
	var nano: typeof library;
}

globalThis.nano = library;
