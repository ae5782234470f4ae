/** Model files over HTTP, from a server of our own that behaves well or badly on demand. */
import assert from "node:assert/strict";
import {
	createServer,
	type IncomingMessage,
	type Server,
	type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { toFloat32 } from "../../src/weights/convert.ts";
import { httpFiles } from "../../src/weights/http.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import { writeSafetensors } from "../support/safetensors-writer.ts";

const data = Float32Array.from({ length: 64 }, (_, i) => i);
const weights = writeSafetensors({ w: { dtype: "f32", shape: [8, 8], data } });
const files = new Map<string, Uint8Array>([
	["model.safetensors", weights],
	["config.json", new TextEncoder().encode('{"größe": 1}')],
	["sub dir/50%41#1.bin", new Uint8Array(0)],
	["latin1.txt", Uint8Array.of(0xfc)],
]);

/** How to answer a request for bytes [first, last] of `body`; `null` for all of it. */
type Behaviour = (
	response: ServerResponse,
	body: Uint8Array,
	range: [first: number, last: number] | null,
) => void;

function partial(
	response: ServerResponse,
	contentRange: string | null,
	body: Uint8Array,
): void {
	const headers = contentRange ? { "Content-Range": contentRange } : {};
	response.writeHead(206, headers).end(body);
}

const good: Behaviour = (response, body, range) => {
	if (range === null) response.writeHead(200).end(body);
	else if (range[0] >= body.length)
		response
			.writeHead(416, { "Content-Range": `bytes */${body.length}` })
			.end();
	else {
		const [first, last] = range;
		partial(
			response,
			`bytes ${first}-${last}/${body.length}`,
			body.subarray(first, last + 1),
		);
	}
};

/** Well behaved for the opening probe, `bad` for every other range. */
const onRead =
	(bad: (...args: Parameters<Behaviour>) => void): Behaviour =>
	(response, body, range) =>
		(range && range[1] > 0 ? bad : good)(response, body, range);

const status =
	(code: number): Behaviour =>
	(response) =>
		response.writeHead(code).end("a page that explains it");

const behaviours: Readonly<Record<string, Behaviour>> = {
	good,
	"range-ignored": (response, body) => response.writeHead(200).end(body),
	"range-ignored-on-read": onRead((response, body) =>
		response.writeHead(200).end(body),
	),
	cut: (response, body, range) => {
		if (range?.[1] === 0) return good(response, body, range);
		const [first, last] = range ?? [0, body.length - 1];
		const headers = {
			"Content-Length": last - first + 1,
			"Content-Range": `bytes ${first}-${last}/${body.length}`,
		};
		response.writeHead(range ? 206 : 200, headers);
		response.write(body.subarray(first, last), () => response.destroy());
	},
	"short-body": onRead((response, body, range) =>
		partial(
			response,
			`bytes ${range?.[0]}-${range?.[1]}/${body.length}`,
			body.subarray(0, 1),
		),
	),
	"long-body": onRead((response, body, range) =>
		partial(
			response,
			`bytes ${range?.[0]}-${range?.[1]}/${body.length}`,
			new Uint8Array(100_000),
		),
	),
	"other-range": onRead((response, body) =>
		partial(response, `bytes 1-8/${body.length}`, body.subarray(1, 9)),
	),
	"shorter-range": onRead((response, body) =>
		partial(response, `bytes 1-7/${body.length}`, body.subarray(0, 8)),
	),
	"file-grew": onRead((response, body, range) =>
		partial(
			response,
			`bytes ${range?.[0]}-${range?.[1]}/${body.length + 1}`,
			body.subarray(0, 8),
		),
	),
	"no-content-range": (response, body) =>
		partial(response, null, body.subarray(0, 1)),
	"size-unknown": (response, body) =>
		partial(response, "bytes 0-0/*", body.subarray(0, 1)),
	"404": status(404),
	"401": status(401),
	"403": status(403),
	"429": status(429),
	"500": status(500),
	"500-on-read": onRead(status(500)),
	hangs: onRead((response) => {
		response.writeHead(206, {
			"Content-Range": `bytes 0-7/${weights.length}`,
		});
		response.write("abc");
	}),
};

let server: Server;
let base: string;
const requests: string[] = [];

before(async () => {
	server = createServer(answer);
	await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
	base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(() => {
	server.closeAllConnections();
	server.close();
});

function answer(request: IncomingMessage, response: ServerResponse): void {
	const url = new URL(request.url ?? "/", base);
	requests.push(`${request.url} ${request.headers.range ?? "all"}`);
	const [, name, ...rest] = url.pathname.split("/");
	const body = files.get(decodeURIComponent(rest.join("/")));
	if (!body) return void response.writeHead(404).end();
	const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
	behaviours[name](
		response,
		body,
		match ? [Number(match[1]), Number(match[2])] : null,
	);
}

const filesOf = (behaviour: string) =>
	httpFiles(`${base}/${behaviour}`, globalThis.fetch);

test("a model is read by ranges", async () => {
	requests.length = 0;
	const source = await openSafetensors(filesOf("good"));
	const rows = await source.read("w", 2, 4);
	assert.equal(rows.byteOffset, 0);
	assert.deepEqual(toFloat32(rows, "f32"), data.slice(16, 32));
	assert.ok(
		requests.every((request) => !request.endsWith("all")),
		"never the whole file",
	);
});

test("list finds the known names, whether ranges work or not", async () => {
	for (const behaviour of ["good", "range-ignored"])
		assert.deepEqual(await filesOf(behaviour).list(), [
			"config.json",
			"model.safetensors",
		]);
	assert.deepEqual(await filesOf("404").list(), []);
});

test("text is read whole", async () => {
	const text = await filesOf("range-ignored").readText("config.json");
	assert.equal(text, '{"größe": 1}');
	assert.equal(await filesOf("good").readText("absent.json"), null);
	assert.equal(await filesOf("404").readText("config.json"), null);
});

test("paths are encoded; the base may end in / and have a query", async () => {
	requests.length = 0;
	const url = new URL(`${base}/good/?token=1`);
	const file = await httpFiles(url, fetch).open("sub dir/50%41#1.bin");
	assert.deepEqual(requests, [
		"/good/sub%20dir/50%2541%231.bin?token=1 bytes=0-0",
	]);
	assert.equal(file?.size, 0);
	assert.equal((await file?.read(0, 0))?.length, 0);
});

test("paths stay below the base", async () => {
	for (const path of ["../x", "a/../../x", "/x", "http://127.0.0.1/x", ""])
		for (const method of ["open", "readText"] as const)
			await assert.rejects(filesOf("good")[method](path), {
				code: "model_not_found",
				message: /inside the model's folder/,
			});
});

test("a server that misbehaves is an error with a reason", async (t) => {
	const cases: readonly [behaviour: string, code: string, message: RegExp][] = [
		[
			"range-ignored",
			"model_not_found",
			/got all of it \(200\).*ignores Range/,
		],
		["range-ignored-on-read", "model_not_found", /ignores Range/],
		["cut", "invalid_weights", /wanted 8 bytes, got [0-7] byte.*was cut/],
		["short-body", "invalid_weights", /wanted 8 bytes, got 1 byte\. .*cut/],
		[
			"long-body",
			"invalid_weights",
			/wanted 8 bytes, got [\d,]+ bytes or more/,
		],
		["other-range", "invalid_weights", /wanted bytes 0 to 7.*got "bytes 1-8/],
		["shorter-range", "invalid_weights", /0 to 7.*got "bytes 1-7/],
		["file-grew", "invalid_weights", /The file changed on the server/],
		["no-content-range", "model_not_found", /no such header.*expose/],
		["size-unknown", "model_not_found", /got "bytes 0-0\/\*"/],
		["401", "model_not_found", /got 401.*token/],
		["403", "model_not_found", /got 403.*token/],
		["429", "model_not_found", /got 429.*try again later/],
		["500", "model_not_found", /got 500.*try again later/],
		["500-on-read", "model_not_found", /got 500.*try again later/],
	];
	for (const [behaviour, code, message] of cases)
		await t.test(behaviour, () =>
			assert.rejects(
				async () => {
					const file = await filesOf(behaviour).open("model.safetensors");
					await file?.read(0, 8);
				},
				{ name: "NanoVllmError", code, message },
			),
		);
});

test("text that is cut, too long or not text is refused", async () => {
	await assert.rejects(filesOf("cut").readText("config.json"), {
		code: "model_not_found",
		message: /was cut/,
	});
	await assert.rejects(filesOf("good").readText("config.json", 5), {
		code: "invalid_model_config",
		message: /at most 5 bytes/,
	});
	await assert.rejects(filesOf("good").readText("latin1.txt"), {
		code: "invalid_model_config",
		message: /UTF-8/,
	});
	await assert.rejects(filesOf("500").readText("config.json"), {
		code: "model_not_found",
	});
});

test("no server and no URL are errors with a reason", async () => {
	const closed = createServer();
	await new Promise<void>((done) => closed.listen(0, "127.0.0.1", done));
	const { port } = closed.address() as AddressInfo;
	await new Promise((done) => closed.close(done));
	await assert.rejects(
		httpFiles(`http://127.0.0.1:${port}`, fetch).open("config.json"),
		{ code: "model_not_found", message: /no answer from the server/ },
	);
	await assert.rejects(httpFiles("not a URL", fetch).open("config.json"), {
		code: "model_not_found",
		message: /wanted a URL/,
	});
});

test("reading past the end asks the server nothing", async () => {
	const file = await filesOf("good").open("model.safetensors");
	requests.length = 0;
	await assert.rejects(file?.read(weights.length - 1, 2) ?? Promise.reject(), {
		code: "invalid_weights",
	});
	assert.deepEqual(requests, []);
});

test("an abort ends a read that hangs", { timeout: 5000 }, async () => {
	const file = await filesOf("hangs").open("model.safetensors");
	assert.ok(file);
	await assert.rejects(file.read(0, 8, AbortSignal.abort()), {
		code: "aborted",
	});
	await assert.rejects(file.read(0, 8, AbortSignal.timeout(50)), {
		code: "aborted",
	});
});
