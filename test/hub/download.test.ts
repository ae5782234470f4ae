/** Downloads from a hub of our own into the cache: whole, cut, resumed, refused, damaged, wanted twice. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { NanoVllmError } from "../../src/errors.ts";
import { fetchSnapshot } from "../../src/hub/snapshot.ts";
import {
	COMMIT,
	clientOf,
	ID,
	REPO,
	randomBytes,
	tinyRepo,
	treeOf,
} from "../support/hub-case.ts";
import {
	etagOf,
	type Seen,
	startHub,
	type Trouble,
} from "../support/hub-server.ts";

const server = await startHub();
server.repos.set(REPO, tinyRepo());
const { files } = tinyRepo();
const weights = files.get("model.safetensors") ?? new Uint8Array();
const etag = etagOf("model.safetensors", weights);
const NEEDED = [
	"config.json",
	"generation_config.json",
	"tokenizer.json",
	"tokenizer_config.json",
	"model.safetensors",
];

/** A server without troubles, and nothing seen yet; `cdn`: the trouble with each request for the weights, in order. */
function calm(...cdn: readonly (Trouble | null)[]): void {
	server.seen.length = 0;
	server.trouble = (request) =>
		isWeights(request) ? (cdn[weightRequests().length - 1] ?? null) : null;
}

const isWeights = ({ host, path }: Seen) =>
	host === "cdn" && path.endsWith(etag);
const weightRequests = () => server.seen.filter(isWeights);

function checkFiles(folder: string, names: readonly string[] = NEEDED): void {
	for (const name of names)
		assert.deepEqual(
			new Uint8Array(readFileSync(`${folder}/${name}`)),
			files.get(name),
			name,
		);
}

test("a fresh download brings the needed files, in the layout of the Python client", async () => {
	calm();
	const hub = clientOf(server);
	const progress: number[][] = [];
	const { folder, commit, paths } = await fetchSnapshot(hub, ID, {
		onProgress: (loaded, total) => progress.push([loaded, total]),
	});
	assert.equal(commit, COMMIT);
	assert.deepEqual([...paths].sort(), [...NEEDED].sort());
	checkFiles(folder);

	const root = `${hub.settings.cacheFolder}/models--acme--tiny`;
	assert.equal(folder, `${root}/snapshots/${COMMIT}`);
	const expected: Record<string, string> = {
		"refs/main": "file",
		[`.no_exist/${COMMIT}/chat_template.jinja`]: "file",
		[`.no_exist/${COMMIT}/special_tokens_map.json`]: "file",
	};
	for (const name of NEEDED) {
		const blob = etagOf(name, files.get(name) ?? new Uint8Array());
		expected[`blobs/${blob}`] = "file";
		expected[`snapshots/${COMMIT}/${name}`] = `→ ../../blobs/${blob}`;
	}
	assert.deepEqual(treeOf(root), expected);
	assert.equal(readFileSync(`${root}/refs/main`, "utf8"), COMMIT);

	const total = NEEDED.reduce((sum, n) => sum + (files.get(n)?.length ?? 0), 0);
	assert.deepEqual(progress[0], [0, total]);
	assert.deepEqual(progress.at(-1), [total, total]);
	assert.ok(progress.length > 5);
	for (let i = 1; i < progress.length; i++)
		assert.ok(progress[i][0] >= progress[i - 1][0], "never back");
});

test("a second load asks for the listing only; a commit asks nobody", async () => {
	calm();
	const hub = clientOf(server);
	await fetchSnapshot(hub, ID);
	server.seen.length = 0;
	await fetchSnapshot(hub, ID);
	assert.deepEqual(
		server.seen.map(({ path }) => path),
		[`/api/models/${REPO}/revision/main`, `/api/models/${REPO}/tree/${COMMIT}`],
	);
	server.seen.length = 0;
	const pinned = { ...ID, revision: COMMIT };
	const { folder } = await fetchSnapshot(hub, pinned);
	assert.deepEqual(server.seen, []);
	checkFiles(folder);
});

test("a transfer that is cut goes on where it ended, and fetches only the rest", async () => {
	calm({ cutAfter: 100_000 }, { cutAfter: 50_000 });
	const hub = clientOf(server);
	const { folder } = await fetchSnapshot(hub, ID);
	checkFiles(folder);
	const requests = weightRequests();
	assert.deepEqual(
		requests.map(({ range }) => range),
		[undefined, "bytes=100000-", "bytes=150000-"],
	);
	const sent = requests.reduce((sum, request) => sum + request.sent, 0);
	assert.equal(sent, weights.length);
	assert.deepEqual(hub.waits, [1000, 1000]);
});

test("a partial file of an earlier process is continued; of other content, replaced", async () => {
	for (const [part, expected] of [
		[weights.slice(0, 123_456), ["bytes=123456-"]],
		[randomBytes(1000, 9), ["bytes=1000-", undefined]],
		[randomBytes(weights.length + 5, 9), [undefined]],
		[weights, []],
	] as const) {
		calm();
		const hub = clientOf(server);
		const blobs = `${hub.settings.cacheFolder}/models--acme--tiny/blobs`;
		mkdirSync(blobs, { recursive: true });
		writeFileSync(`${blobs}/${etag}.incomplete`, part);
		await hub.files.markIdle(`${blobs}/${etag}.incomplete`);
		const { folder } = await fetchSnapshot(hub, ID);
		checkFiles(folder);
		assert.deepEqual(
			weightRequests().map(({ range }) => range),
			expected,
		);
	}
});

test("servers that give less than was asked, or all of it, are understood", async () => {
	calm({ cutAfter: 1000 }, { truncateTo: 2000 }, { ignoreRange: true });
	const { folder } = await fetchSnapshot(clientOf(server), ID);
	checkFiles(folder);
	assert.equal(weightRequests().length, 3);
});

test("a slow body is waited for, a silent one is not", async () => {
	calm({ pieces: 8, pauseMs: 60 });
	const slow = clientOf(server, { timeoutMs: 250 });
	checkFiles((await fetchSnapshot(slow, ID)).folder);
	assert.equal(weightRequests().length, 1);

	calm({ hangAfter: 10_000 });
	const silent = clientOf(server, { timeoutMs: 150 });
	checkFiles((await fetchSnapshot(silent, ID)).folder);
	assert.deepEqual(
		weightRequests().map(({ range }) => range),
		[undefined, "bytes=10000-"],
	);
});

test("429 and 5xx are tried again, as late as the server asks", async () => {
	calm(
		{ status: 429, headers: { "Retry-After": "7" } },
		{ status: 503 },
		{ status: 429, headers: { RateLimit: '"resolvers";r=0;t=30' } },
	);
	const hub = clientOf(server);
	checkFiles((await fetchSnapshot(hub, ID)).folder);
	assert.deepEqual(hub.waits, [7000, 2000, 30_000]);

	server.trouble = ({ path }) =>
		path.startsWith("/api/") ? { status: 503 } : null;
	const refused = clientOf(server);
	await assert.rejects(fetchSnapshot(refused, ID), {
		code: "download_failed",
		message: /answered 503 for acme\/tiny/,
	});
	assert.deepEqual(refused.waits, [1000, 2000, 4000, 8000]);
});

test("wrong bytes are found, and fetched once more", async () => {
	const wrong = randomBytes(weights.length, 77);
	calm({ body: wrong });
	checkFiles((await fetchSnapshot(clientOf(server), ID)).folder);
	assert.equal(weightRequests().length, 2);

	calm({ body: wrong }, { body: wrong });
	const hub = clientOf(server);
	await assert.rejects(fetchSnapshot(hub, ID), {
		code: "download_failed",
		message: /twice with another checksum/,
	});
	const root = `${hub.settings.cacheFolder}/models--acme--tiny`;
	const left = Object.keys(treeOf(root));
	assert.ok(!left.some((path) => path.includes(etag)), "nothing wrong is kept");
	assert.ok(!left.includes("refs/main"), "no ref to half a model");
});

test("an abort ends a download, and what came is continued by the next", async () => {
	calm({ hangAfter: 65_536 });
	const hub = clientOf(server);
	const controller = new AbortController();
	const running = fetchSnapshot(hub, ID, {
		signal: controller.signal,
		onProgress: (loaded) => loaded > 65_536 && controller.abort(),
	});
	await assert.rejects(running, { code: "aborted" });
	calm();
	checkFiles((await fetchSnapshot(hub, ID)).folder);
	assert.deepEqual(
		weightRequests().map(({ range }) => range),
		["bytes=65536-"],
	);
	await assert.rejects(
		fetchSnapshot(clientOf(server), ID, { signal: AbortSignal.abort() }),
		{ code: "aborted" },
	);
});

test("two that want the same file at once share one transfer", async () => {
	calm({ pieces: 10, pauseMs: 40 });
	const hub = clientOf(server);
	const first = fetchSnapshot(hub, ID);
	await new Promise((done) => setTimeout(done, 150));
	const both = await Promise.all([first, fetchSnapshot(hub, ID)]);
	for (const { folder } of both) checkFiles(folder);
	assert.equal(weightRequests().length, 1);
});

test("a partial file whose writer died is taken over when it has stood still", async () => {
	calm();
	const hub = clientOf(server);
	const blobs = `${hub.settings.cacheFolder}/models--acme--tiny/blobs`;
	mkdirSync(blobs, { recursive: true });
	writeFileSync(`${blobs}/${etag}.incomplete`, weights.slice(0, 5000));
	const waits: number[] = [];
	const wait = async (milliseconds: number) => void waits.push(milliseconds);
	checkFiles((await fetchSnapshot({ ...hub, wait }, ID)).folder);
	assert.deepEqual(
		weightRequests().map(({ range }) => range),
		["bytes=5000-"],
	);
	const still = waits.reduce((sum, ms) => sum + ms, 0);
	assert.ok(still >= 5000 && still < 6000, `waited ${still} ms`);
});

test("two that start in the same moment both end with the right bytes", async () => {
	calm();
	const hub = clientOf(server);
	const all = await Promise.all([1, 2, 3].map(() => fetchSnapshot(hub, ID)));
	for (const { folder } of all) checkFiles(folder);
	const root = `${hub.settings.cacheFolder}/models--acme--tiny`;
	const left = Object.keys(treeOf(root));
	assert.ok(!left.some((path) => /incomplete|tmp/.test(path)), "nothing left");
});

test("a blob that is there gets a link; a damaged one is fetched again", async () => {
	calm();
	const hub = clientOf(server);
	const root = `${hub.settings.cacheFolder}/models--acme--tiny`;
	mkdirSync(`${root}/blobs`, { recursive: true });
	writeFileSync(`${root}/blobs/${etag}`, weights);
	checkFiles((await fetchSnapshot(hub, ID)).folder);
	assert.equal(weightRequests().length, 0);

	writeFileSync(`${root}/blobs/${etag}`, weights.slice(0, 10));
	checkFiles((await fetchSnapshot(hub, ID)).folder);
	assert.equal(weightRequests().length, 1);
});

test("a whole model in a cache that may only be read is good enough", async () => {
	calm();
	const hub = clientOf(server);
	await fetchSnapshot(hub, ID);
	const root = `${hub.settings.cacheFolder}/models--acme--tiny`;
	rmSync(`${root}/refs`, { recursive: true });
	rmSync(`${root}/.no_exist`, { recursive: true });
	const refuse = async () => {
		throw new NanoVllmError("download_failed", "read-only");
	};
	const readOnly = { ...hub.files, writeText: refuse, link: refuse };
	const { folder } = await fetchSnapshot({ ...hub, files: readOnly }, ID);
	checkFiles(folder);
});

test("listings come in pages; patterns choose other files", async () => {
	calm();
	server.pageSize = 3;
	const include = ["*.md", "onnx/*"];
	const { folder, paths } = await fetchSnapshot(clientOf(server), ID, {
		include,
	});
	server.pageSize = 1000;
	assert.deepEqual(paths, ["onnx/model.onnx", "README.md"]);
	checkFiles(folder, paths);
	await assert.rejects(
		fetchSnapshot(clientOf(server), ID, { include: ["*.xyz"] }),
		{ code: "model_not_found", message: /no file matches \*\.xyz/ },
	);
});

test("the token goes to the hub and not to the CDN", async () => {
	calm();
	server.repos.set("acme/hidden", tinyRepo({ privateFor: "hf_good" }));
	const hub = clientOf(server, { token: "hf_good" });
	await fetchSnapshot(hub, { ...ID, repo: "acme/hidden" });
	for (const { host, authorization } of server.seen)
		assert.equal(authorization, host === "hub" ? "Bearer hf_good" : undefined);
	assert.ok(weightRequests().length > 0);
});
