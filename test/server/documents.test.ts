/** What the documents name is there: metrics of the dashboard, flags and endpoints of the pages. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { ENGINE_FLAGS } from "../../src/cli/engine-flags.ts";
import { kebab } from "../../src/cli/flags.ts";
import { LISTEN_FLAGS, SERVER_FLAGS } from "../../src/cli/serve-flags.ts";
import { createApp, type ServerApp } from "../../src/server/app.ts";
import { ROUTES } from "../../src/server/routes.ts";
import { loadDemo } from "./serving.ts";

const docs = join(import.meta.dirname, "../../docs");
const read = (name: string) => readFileSync(join(docs, name), "utf8");

let app: ServerApp;
before(async () => {
	app = createApp(await loadDemo());
});

test("every metric of the dashboard and the pages is served", async () => {
	const metrics = await (
		await app.fetch(new Request("http://server/metrics"))
	).text();
	const names = ["grafana.json", "server.md", "deploy.md"]
		.map(read)
		.join()
		.matchAll(/\bvllm:[a-z_]+[a-z]\b(?!_\*)/g);
	const wanted = new Set([...names].map(([name]) => name));
	assert.ok(wanted.size > 15);
	for (const name of wanted) {
		const family = name.replace(/_(bucket|sum|count)$/, "");
		assert.ok(metrics.includes(`# TYPE ${family} `), name);
	}
});

test("every flag of the pages is one", () => {
	const tables = [SERVER_FLAGS, LISTEN_FLAGS, ENGINE_FLAGS].flatMap((table) =>
		Object.entries(table).map(([key, flag]) => flag.name ?? kebab(key)),
	);
	const others = [
		"lora-modules",
		"web",
		"no-web",
		"max-concurrency",
		"request-rate",
		"json",
		"base-url",
		"gpus",
		"rm",
		"global",
		"no-install-recommends",
	];
	const known = new Set([...tables, ...others]);
	for (const name of ["server.md", "deploy.md"])
		for (const [, flag] of read(name).matchAll(/(?<![\w-])--([a-z][a-z-]+)/g))
			assert.ok(
				known.has(flag.replace(/^no-enable/, "enable")),
				`${name}: --${flag}`,
			);
});

test("every endpoint of the page is one", () => {
	const known = ROUTES.map(({ path }) => path.replace(/:id\{.*/, "ID"));
	const section = read("server.md").split("## ")[1];
	const named = [...section.matchAll(/[`, ](\/[a-z][\w/]*)/g)].map(
		([, path]) => path,
	);
	assert.ok(named.length > 12);
	for (const path of named) assert.ok(known.includes(path), path);
	for (const path of known) assert.ok(named.includes(path), path);
});
