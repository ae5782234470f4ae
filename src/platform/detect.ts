/** Chooses the platform. Literal specifiers, so that a bundler can see both files and drop Node's. */
import type { Platform } from "./platform.ts";

export async function loadPlatform(): Promise<Platform> {
	if (typeof process !== "undefined" && process.versions?.node)
		return (await import("./node.ts")).platform;
	return (await import("./browser.ts")).openBrowser();
}
