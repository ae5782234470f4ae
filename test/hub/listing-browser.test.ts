/** The few lines that list a repository in browsers say what @huggingface/hub says, page after page, and refuse what it refuses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { listRepo } from "../../src/hub/listing.ts";
import { listRepo as listInBrowser } from "../../src/hub/listing-browser.ts";
import { clientOf, ID, REPO, tinyRepo } from "../support/hub-case.ts";
import { startHub } from "../support/hub-server.ts";

test("both listings are one, in pages too", async () => {
	const server = await startHub();
	server.repos.set(REPO, tinyRepo());
	const client = clientOf(server);
	const wanted = await listRepo(client, ID);
	assert.ok(wanted.files.length > 4);
	for (const pageSize of [1000, 3, 1]) {
		server.pageSize = pageSize;
		assert.deepEqual(await listInBrowser(client, ID), wanted);
	}
	await assert.rejects(listInBrowser(client, { ...ID, repo: "acme/absent" }), {
		code: "model_not_found",
	});
	for (const text of ["[]", "<html>", '{"sha":"main"}']) {
		const proxy = { ...client, fetch: async () => new Response(text) };
		await assert.rejects(listInBrowser(proxy, ID), { code: "download_failed" });
	}
});
