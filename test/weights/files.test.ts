/** Folders of model files, in memory and on disk, and the platform they are found on. */
import assert from "node:assert/strict";
import {
	mkdir,
	mkdtemp,
	rm,
	symlink,
	truncate,
	writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { platform as browser } from "../../src/platform/browser.ts";
import { loadPlatform } from "../../src/platform/detect.ts";
import { platform as node } from "../../src/platform/node.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import {
	bytes,
	fileMap,
	grouped,
	isInside,
	type ModelFiles,
} from "../../src/weights/source.ts";
import { writeSafetensors } from "../support/safetensors-writer.ts";

const content = Uint8Array.from({ length: 1000 }, (_, i) => i);
const encode = (text: string) => new TextEncoder().encode(text);
let parent: string;
let folder: string;

before(async () => {
	parent = await mkdtemp(join(tmpdir(), "nano-vllm-test-"));
	folder = join(parent, "model");
	await mkdir(join(folder, "sub"), { recursive: true });
	await writeFile(join(parent, "secret"), "secret");
	await writeFile(join(folder, "b.bin"), content);
	await writeFile(join(folder, "a.json"), '{"größe": 1}');
	await writeFile(join(folder, "sub", "c.json"), "{}");
	await writeFile(join(folder, "latin1.txt"), Uint8Array.of(0xfc));
	await symlink(join(parent, "secret"), join(folder, "link"));
});

after(() => rm(parent, { recursive: true }));

const inMemory = (): ModelFiles =>
	fileMap(
		"memory",
		new Map<string, Uint8Array | Blob>([
			["b.bin", Buffer.from(content)],
			["a.json", new Blob(['{"größe": 1}'])],
			["sub/c.json", encode("{}")],
			["latin1.txt", Uint8Array.of(0xfc)],
			["link", new Blob(["secret"])],
		]),
	);

for (const [name, open] of [
	["memory", async () => inMemory()],
	["disk", () => node.localFiles(folder)],
] as const) {
	test(`${name}: files are listed, read as text and read anywhere`, async () => {
		const files = await open();
		assert.deepEqual(await files.list(), [
			"a.json",
			"b.bin",
			"latin1.txt",
			"link",
		]);
		assert.equal(await files.readText("a.json"), '{"größe": 1}');
		assert.equal(await files.readText("sub/c.json"), "{}");
		assert.equal(await files.readText("link"), "secret");
		const file = await files.open("b.bin");
		assert.ok(file);
		assert.equal(file.size, 1000);
		for (const [offset, length] of [
			[0, 1000],
			[1, 7],
			[999, 1],
			[1000, 0],
		] as const) {
			const part = await file.read(offset, length);
			assert.deepEqual(part, content.slice(offset, offset + length));
			assert.equal(part.buffer.byteLength, length);
		}
		await file.close();
	});

	test(`${name}: what is absent is null`, async () => {
		const files = await open();
		for (const path of ["absent", "sub/absent", "sub", "a.json/x"]) {
			assert.equal(await files.open(path), null);
			assert.equal(await files.readText(path), null);
		}
	});

	test(`${name}: reads outside the file, long texts and other bytes are refused`, async () => {
		const files = await open();
		const file = await files.open("b.bin");
		assert.ok(file);
		for (const [offset, length] of [
			[0, 1001],
			[1000, 1],
			[-1, 1],
			[0, -1],
			[0, 1e300],
			[Number.NaN, 1],
		] as const)
			await assert.rejects(file.read(offset, length), {
				code: "invalid_weights",
				message: /^b\.bin: wanted .* file has 1,000 bytes/,
			});
		await file.close();
		await assert.rejects(files.readText("a.json", 3), {
			code: "invalid_model_config",
			message: /at most 3 bytes/,
		});
		await assert.rejects(files.readText("latin1.txt"), {
			code: "invalid_model_config",
			message: /UTF-8/,
		});
	});

	test(`${name}: no path leaves the folder`, async () => {
		const files = await open();
		for (const path of [
			"../secret",
			"sub/../../secret",
			"..",
			".",
			"./a.json",
			"",
			"/etc/passwd",
			join(parent, "secret"),
			"sub//c.json",
			"sub\\c.json",
			"..\\secret",
			"C:\\secret",
			"C:secret",
			"a.json\0.txt",
			"file:///etc/passwd",
		])
			for (const method of ["open", "readText"] as const)
				await assert.rejects(files[method](path), {
					code: "model_not_found",
					message: /inside the model's folder/,
				});
	});

	test(`${name}: an aborted read rejects`, async () => {
		const file = await (await open()).open("b.bin");
		await assert.rejects(async () => file?.read(0, 1, AbortSignal.abort()), {
			code: "aborted",
		});
		await file?.close();
	});
}

test("isInside takes names of files as hubs have them", () => {
	for (const path of ["a", "a.b-c_d", "a/b/c", "..a", "a..", "größe", "a b"])
		assert.ok(isInside(path), path);
});

test("a directory that is none is an error with a reason", async () => {
	for (const path of [join(folder, "absent"), join(folder, "a.json")]) {
		await assert.rejects(node.localFiles(path), {
			code: "model_not_found",
			message: /wanted a directory with config\.json and \*\.safetensors/,
		});
		assert.equal(await node.isDirectory(path), false);
	}
	assert.equal(await node.isDirectory(folder), true);
});

test("a file that shrinks while open is an error with a reason", async () => {
	const path = join(folder, "shrinks.safetensors");
	const data = new Float32Array(1000);
	await writeFile(
		path,
		writeSafetensors({ w: { dtype: "f32", shape: [1000], data } }),
	);
	const source = await openSafetensors(await node.localFiles(folder));
	assert.equal((await source.read("w", 0, 1000)).length, 4000);
	await truncate(path, 500);
	await assert.rejects(source.read("w", 0, 1000), {
		code: "invalid_weights",
		message:
			/^shrinks\.safetensors: had [\d,]+ bytes when opened, now ends at 500/,
	});
	await source.close();
	await rm(path);
});

test("numbers in messages have commas", () => {
	assert.equal(grouped(999), "999");
	assert.equal(grouped(1203437568), "1,203,437,568");
	assert.equal(bytes(1), "1 byte");
	assert.equal(bytes(0n), "0 bytes");
});

test("Node is found as Node", async () => {
	assert.equal(await loadPlatform(), node);
	assert.equal(node.name, "node");
});

for (const platform of [node, browser])
	test(`${platform.name}: the small questions have answers`, async () => {
		assert.ok(platform.hardwareConcurrency >= 1);
		const seed = platform.randomSeed();
		assert.ok(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32);
		assert.notEqual(seed, platform.randomSeed());
		const before = platform.now();
		let timerRan = false;
		setTimeout(() => {
			timerRan = true;
		}, 0);
		for (let i = 0; i < 1000 && !timerRan; i++) {
			await platform.yieldToEventLoop();
		}
		assert.ok(platform.now() >= before);
		assert.ok(timerRan, "timers run while we yield");
	});

test("Node knows its memory, a browser does not", () => {
	const peak = node.peakRssBytes() ?? 0;
	assert.ok(peak >= process.memoryUsage().rss / 2 && peak < 2 ** 40);
	assert.equal(browser.peakRssBytes(), undefined);
});

test("a browser without files of its own has no directories and says what to do", async () => {
	assert.equal(await browser.isDirectory("/"), false);
	await assert.rejects(browser.localFiles("/models/x"), {
		code: "model_not_found",
		message: /this browser keeps no such model. Give a URL/,
	});
});
