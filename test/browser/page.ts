/** A fresh site and a fresh page of it, on which a bundled script runs one job. Knows no script. */
import assert from "node:assert/strict";
import type { Browser, Page } from "playwright-core";
import { type Site, serve } from "./server.ts";

export interface Call {
	readonly site: Site;
	/** The bundled script: it leaves functions on globalThis. */
	readonly script: string;
	/** One of those functions. */
	readonly name: string;
	/** What it is called with, given where the site is. */
	readonly job: (origin: string) => unknown;
}

/** What the function resolves to. Errors of the page, and workers that outlive their model, are errors here. */
export async function callOnPage<Result>(
	browser: Browser,
	call: Call,
): Promise<Result> {
	const site = await serve(call.site);
	const page = await browser.newPage();
	const complaints: string[] = [];
	page.on("pageerror", (error) => complaints.push(String(error)));
	try {
		await page.goto(`${site.origin}/${call.script}.html`);
		// A script that awaits something is not done when the page is.
		await page.waitForFunction((name) => name in globalThis, call.name);
		const result = await page.evaluate(
			([name, job]) =>
				(
					globalThis as unknown as Record<
						string,
						(job: unknown) => Promise<Result>
					>
				)[name](job),
			[call.name, call.job(site.origin)] as const,
		);
		assert.deepEqual(complaints, []);
		// The script ends its own worker, which Chromium does not always tell when that one's workers have only just ended.
		const left = () =>
			page
				.workers()
				.map((worker) => worker.url())
				.filter((url) => !url.endsWith(`/${call.script}.js`));
		for (let i = 0; left().length > 0 && i < 100; i++)
			await page.waitForTimeout(50);
		// URLs, not workers: a failure would print all that hangs on them.
		assert.deepEqual(left(), [], "no worker outlives its model");
		return result as Result;
	} finally {
		await page.close();
		await site.close();
	}
}

/** The browser; where there is none, why: CI must have one. */
export async function browserOrReason(
	launch: () => Promise<Browser>,
): Promise<Browser | string> {
	try {
		return await launch();
	} catch (error) {
		if (process.env.CI) throw error;
		return (error as Error).message.split("\n", 3).join(" ");
	}
}

/** Lets files and folders of the disk fall on a place of the page, in CSS pixels from its upper left corner, as a hand does. */
export async function dropOn(
	page: Page,
	paths: readonly string[],
	place: { readonly x: number; readonly y: number },
): Promise<void> {
	const session = await page.context().newCDPSession(page);
	const data = { items: [], files: [...paths], dragOperationsMask: 1 };
	for (const type of ["dragEnter", "dragOver", "drop"] as const)
		await session.send("Input.dispatchDragEvent", { type, ...place, data });
	await session.detach();
}
