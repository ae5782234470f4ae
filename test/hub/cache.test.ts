/** The cache as the Python client leaves it, with the hub away or forbidden. */
import assert from "node:assert/strict";
import {
	mkdirSync,
	readFileSync,
	rmSync,
	symlinkSync,
	unlinkSync,
	writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import type { ModelId } from "../../src/hub/model-id.ts";
import { fetchSnapshot } from "../../src/hub/snapshot.ts";
import {
	COMMIT,
	clientOf,
	ID,
	randomBytes,
	tinyRepo,
} from "../support/hub-case.ts";
import { etagOf, startHub } from "../support/hub-server.ts";
import { json } from "../support/text-model.ts";

const server = await startHub();
await server.close();

/**
 * Writes what huggingface_hub's hf_hub_download leaves: blobs by ETag, relative links, a ref without a line end, an absent file
 * noted, and the lock files it keeps. (file_download.py; docs: guides/manage-cache)
 */
function writeAsPython(
	cacheFolder: string,
	files: ReadonlyMap<string, Uint8Array>,
	{ repo = "acme/tiny", ref = "main" } = {},
): string {
	const folder = `models--${repo.replace("/", "--")}`;
	const root = join(cacheFolder, folder);
	const write = (path: string, data: Uint8Array | string) => {
		mkdirSync(dirname(path), { recursive: true });
		writeFileSync(path, data);
	};
	for (const [name, data] of files) {
		const etag = etagOf(name, data);
		const pointer = join(root, "snapshots", COMMIT, name);
		const blob = join(root, "blobs", etag);
		write(blob, data);
		mkdirSync(dirname(pointer), { recursive: true });
		symlinkSync(relative(dirname(pointer), blob), pointer);
		write(join(cacheFolder, ".locks", folder, `${etag}.lock`), "");
	}
	write(join(root, "refs", ref), COMMIT);
	write(join(root, ".no_exist", COMMIT, "chat_template.jinja"), "");
	return root;
}

const { files } = tinyRepo();

test("offline, a snapshot that Python downloaded is used without a request", async () => {
	const hub = clientOf(server, { offline: true });
	writeAsPython(hub.settings.cacheFolder, files);
	const { folder, commit, paths } = await fetchSnapshot(hub, ID);
	assert.equal(commit, COMMIT);
	assert.ok(paths.includes("model.safetensors"));
	assert.ok(!paths.includes("pytorch_model.bin"), "only what is needed");
	for (const path of paths)
		assert.deepEqual(
			new Uint8Array(readFileSync(join(folder, path))),
			files.get(path),
		);
	assert.deepEqual(hub.waits, []);
});

test("with the network away, the same, and without patience", async () => {
	const hub = clientOf(server);
	writeAsPython(hub.settings.cacheFolder, files);
	assert.equal((await fetchSnapshot(hub, ID)).commit, COMMIT);
	assert.deepEqual(hub.waits, []);
});

test("branches with a slash, and commits without any ref", async () => {
	const hub = clientOf(server, { offline: true });
	const root = writeAsPython(hub.settings.cacheFolder, files, {
		ref: "refs/pr/7",
	});
	const at = (revision: string): ModelId => ({ ...ID, revision });
	assert.equal((await fetchSnapshot(hub, at("refs/pr/7"))).commit, COMMIT);
	rmSync(join(root, "refs"), { recursive: true });
	assert.equal((await fetchSnapshot(hub, at(COMMIT))).commit, COMMIT);
	await assert.rejects(fetchSnapshot(hub, at("main")), {
		code: "model_not_found",
		message: /not wholly, in the cache .*HF_HUB_OFFLINE forbids/,
	});
});

const INDEX = "model.safetensors.index.json";
const shard = (i: number) => `model-0000${i}-of-00002.safetensors`;
const sharded = new Map([
	["config.json", json({})],
	[INDEX, json({ weight_map: { a: shard(1), b: shard(2) } })],
	[shard(1), randomBytes(100, 1)],
	[shard(2), randomBytes(100, 2)],
]);
const part = (i: number) => `Q8_0/tiny-Q8_0-0000${i}-of-00002.gguf`;
const split = new Map([
	[part(1), randomBytes(100, 3)],
	[part(2), randomBytes(100, 4)],
]);

test("a snapshot counts only when every file of the model is there", async () => {
	const cases: [ReadonlyMap<string, Uint8Array>, string, ModelId][] = [
		[files, "config.json", ID],
		[files, "model.safetensors", ID],
		[sharded, shard(2), ID],
		[sharded, INDEX, ID],
		[split, part(2), { ...ID, file: "Q8_0" }],
	];
	for (const [all, missing, id] of cases) {
		const hub = clientOf(server, { offline: true });
		const root = writeAsPython(hub.settings.cacheFolder, all);
		await fetchSnapshot(hub, id);
		// A link to a blob that is gone is as good as none.
		const data = all.get(missing) ?? new Uint8Array();
		unlinkSync(join(root, "blobs", etagOf(missing, data)));
		await assert.rejects(
			fetchSnapshot(hub, id),
			{ code: "model_not_found" },
			missing,
		);
	}
});

test("offline without a cache, nobody is asked", async () => {
	const hub = clientOf(server, { offline: true });
	await assert.rejects(fetchSnapshot(hub, ID), { code: "model_not_found" });
	await assert.rejects(fetchSnapshot(hub, ID, { include: ["*"] }), {
		code: "model_not_found",
	});
});
