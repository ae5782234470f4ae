/** What of the library the pages may know: its public names, and the engine's events with what is told from them. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path/posix";
import { test } from "node:test";

const ROOT = join(import.meta.dirname, "../..");
const ALLOWED = /^src\/(browser|engine\/events|inspector\/[\w-]+)\.ts$/;
const PACKAGES =
	/^(nano-vllm|preact(\/hooks)?|@preact\/signals|marked|dompurify|highlight\.js\/.+)$/;

const files = readdirSync(join(ROOT, "web/src"), {
	recursive: true,
	encoding: "utf8",
})
	.filter((name) => /\.tsx?$/.test(name))
	.map((name) => `web/src/${name.replaceAll("\\", "/")}`);

const imports = files.flatMap((file) =>
	[
		...readFileSync(join(ROOT, file), "utf8").matchAll(
			/(?:from|import)\s*\(?\s*"([^"]+)"/g,
		),
	].map(([, specifier]) => ({ file, specifier })),
);

test("pages reach the library through its public names and the inspector's alone", () => {
	assert.ok(imports.length > 100, "imports are found");
	const wrong = imports.filter(({ file, specifier }) => {
		if (!specifier.startsWith(".")) return !PACKAGES.test(specifier);
		const target = relative(
			ROOT,
			normalize(join(ROOT, dirname(file), specifier)),
		);
		return !target.startsWith("web/src/") && !ALLOWED.test(target);
	});
	assert.deepEqual(wrong, []);
});

test("pages know the interface of an engine, and only the session opens one", () => {
	const openers = imports
		.filter(({ specifier }) => /\/engine-(tab|server)\.ts$/.test(specifier))
		.map(({ file }) => file);
	assert.deepEqual([...new Set(openers)], ["web/src/session.ts"]);
});
