/** What the hub refuses, and what is not there: each error says what to do. */
import assert from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { test } from "node:test";
import { listRepo } from "../../src/hub/listing.ts";
import type { ModelId } from "../../src/hub/model-id.ts";
import { fetchSnapshot } from "../../src/hub/snapshot.ts";
import {
	type Client,
	clientOf,
	ID,
	REPO,
	temporaryFolder,
	tinyRepo,
} from "../support/hub-case.ts";
import { etagOf, startHub } from "../support/hub-server.ts";

const server = await startHub();
server.repos.set(REPO, tinyRepo());
server.repos.set("acme/gated", tinyRepo({ gatedFor: "hf_friend" }));
server.repos.set("acme/private", tinyRepo({ privateFor: "hf_owner" }));
server.repos.set("acme/empty", tinyRepo({ files: new Map() }));

interface Case {
	readonly what: string;
	readonly id?: Partial<ModelId>;
	readonly token?: string;
	readonly code: string;
	readonly message: RegExp;
}

const cases: readonly Case[] = [
	{
		what: "a gated model without a token",
		id: { repo: "acme/gated" },
		code: "access_denied",
		message:
			/acme\/gated is gated.*no token is set.*Accept them at http.*\/acme\/gated, make a token.*set HF_TOKEN/,
	},
	{
		what: "a gated model with a stranger's token",
		id: { repo: "acme/gated" },
		token: "hf_stranger",
		code: "access_denied",
		message:
			/the token that is set belongs to an account that has not been let in/,
	},
	{
		what: "a token nobody knows",
		token: "bad",
		code: "access_denied",
		message: /does not know the token/,
	},
	{
		what: "a model that is not there",
		id: { repo: "acme/nothing" },
		code: "model_not_found",
		message: /has no model acme\/nothing, or it is private and no token is set/,
	},
	{
		what: "a private model with another's token",
		id: { repo: "acme/private" },
		token: "hf_stranger",
		code: "model_not_found",
		message: /or it is private and the token that is set may not see it/,
	},
	{
		what: "a revision that is not there",
		id: { revision: "v9" },
		code: "model_not_found",
		message: /acme\/tiny has no revision "v9"/,
	},
	{
		what: "a file that is not there",
		id: { file: "Q4_K_M" },
		code: "model_not_found",
		message: /acme\/tiny has no file Q4_K_M\. It has no GGUF files at all/,
	},
	{
		what: "a repository without weights",
		id: { repo: "acme/empty" },
		code: "model_not_found",
		message: /wanted \*\.safetensors or \*\.gguf, found no files/,
	},
];

for (const { what, id, token = null, code, message } of cases)
	test(what, async () => {
		const hub = clientOf(server, { token });
		await assert.rejects(fetchSnapshot(hub, { ...ID, ...id }), {
			name: "NanoVllmError",
			code,
			message,
		});
		assert.deepEqual(hub.waits, [], "not tried again");
	});

test("messages name the revision as it was asked for, behind any prefix of the address", async () => {
	const revision = "refs/pr/9";
	await assert.rejects(fetchSnapshot(clientOf(server), { ...ID, revision }), {
		message: /^acme\/tiny has no revision "refs\/pr\/9"/,
	});
	const hub: Client = {
		...clientOf(server, { endpoint: "https://mirror.example/api/hf" }),
		fetch: async () => new Response("", { status: 404 }),
	};
	await assert.rejects(fetchSnapshot(hub, ID), {
		code: "model_not_found",
		message: /^https:\/\/mirror\.example\/api\/hf has no model acme\/tiny/,
	});
});

test("the friend's token opens the gated model, the owner's the private one", async () => {
	const friend = clientOf(server, { token: "hf_friend" });
	await fetchSnapshot(friend, { ...ID, repo: "acme/gated" });
	const owner = clientOf(server, { token: "hf_owner" });
	await fetchSnapshot(owner, { ...ID, repo: "acme/private" });
});

test("nobody at the address", async () => {
	const gone = await startHub();
	await gone.close();
	await assert.rejects(fetchSnapshot(clientOf(gone), ID), {
		code: "download_failed",
		message:
			/127\.0\.0\.1:\d+: no answer, or a cut one \(ECONNREFUSED\)\. Check the connection/,
	});
});

/** A client whose hub answers everything with one text. */
const answering = (body: string): Client => ({
	...clientOf(server),
	fetch: async () => new Response(body),
});

test("an answer that is no listing", async () => {
	for (const body of ["<html>Sign in to the hotel's network</html>", "{}"])
		await assert.rejects(listRepo(answering(body), ID), {
			code: "download_failed",
			message: /wanted the hub's listing of the model, got something else/,
		});
});

test("names and checksums that would leave the cache are passed over", async () => {
	const oid = "a".repeat(40);
	const entry = (path: string, oid: unknown, size: unknown = 1) => ({
		type: "file",
		path,
		oid,
		size,
	});
	const entries = [
		entry("../evil.json", oid),
		entry("/etc/passwd", oid),
		entry("C:evil.json", oid),
		entry("ok.json", "../../evil"),
		entry("ok.json", 7),
		entry("ok.json", oid, -1),
		{ type: "directory", path: "sub", oid, size: 0 },
		entry("good.json", oid),
	];
	const hub: Client = {
		...clientOf(server),
		fetch: async (url) =>
			Response.json(url.includes("/tree/") ? entries : { sha: oid }),
	};
	const { files } = await listRepo(hub, ID);
	assert.deepEqual(files, [{ path: "good.json", size: 1, etag: oid }]);
});

test("a disk without room is known before the download", async () => {
	const hub = clientOf(server);
	const files = { ...hub.files, freeBytes: async () => 1000 };
	await assert.rejects(fetchSnapshot({ ...hub, files }, ID), {
		code: "download_failed",
		message:
			/needs 300,\d+ bytes, the disk of .* has 1,000 bytes left\. Free some room, or set HF_HOME/,
	});
});

test("a disk that fills up meanwhile", {
	skip: process.platform !== "linux" && "needs /dev/full",
}, async () => {
	const cacheFolder = temporaryFolder();
	const hub = clientOf(server, { cacheFolder });
	const data = tinyRepo().files.get("model.safetensors") ?? new Uint8Array();
	const blobs = `${cacheFolder}/models--acme--tiny/blobs`;
	await hub.files.writeText(`${blobs}/x`, "");
	const partial = `${etagOf("model.safetensors", data)}.incomplete`;
	symlinkSync("/dev/full", `${blobs}/${partial}`);
	await hub.files.markIdle(`${blobs}/${partial}`);
	await assert.rejects(fetchSnapshot(hub, ID), {
		code: "download_failed",
		message: /could not be written \(ENOSPC\)\. The disk is full/,
	});
});

test("a cache that cannot be: its place is a file, or a disk without room", async () => {
	const cases: [cacheFolder: string, message: RegExp][] = [
		[`${import.meta.filename}/hub`, /could not be \w+ \(ENOTDIR\)/],
	];
	if (process.platform === "linux")
		cases.push(["/proc/none", /the disk of \/proc\/none has 0 bytes left/]);
	for (const [cacheFolder, message] of cases) {
		const hub = clientOf(server, { cacheFolder });
		const refused = { code: "download_failed", message };
		await assert.rejects(fetchSnapshot(hub, ID), refused);
	}
});
