/**
 * Builds the web app into dist/web: plain files that work from any folder of any server. Beside the bundle lie the bundled model and
 * XGrammar, both fetched when they are first needed.
 */
import { createReadStream, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { defineConfig, type Plugin } from "vite";

const root = import.meta.dirname;
const repository = join(root, "..");

/** Lets pages share memory among threads. Whoever serves the built files sends the same. */
const ISOLATION = {
	"Cross-Origin-Opener-Policy": "same-origin",
	"Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
	root,
	base: "./",
	publicDir: false,
	plugins: [bundledModel(), xgrammar()],
	resolve: { alias: { "nano-vllm": join(repository, "src/index.ts") } },
	oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
	build: {
		outDir: join(repository, "dist/web"),
		emptyOutDir: true,
		target: "es2022",
		license: { fileName: "licenses.md" },
		rolldownOptions: {
			input: {
				index: join(root, "index.html"),
				"isolation-worker": join(root, "src/isolation-worker.ts"),
			},
			output: {
				// A service worker's place says which pages it may serve.
				entryFileNames: ({ name }) =>
					name === "isolation-worker" ? "[name].js" : "assets/[name]-[hash].js",
			},
		},
	},
	worker: { format: "es" },
	server: { headers: ISOLATION, fs: { allow: [repository] } },
	preview: { headers: ISOLATION },
});

/** demo-model/: what the page loads as a URL. Its corpus and scripts stay behind. */
function bundledModel(): Plugin {
	const folder = join(repository, "demo-model");
	const names = readdirSync(folder).filter((name) =>
		/^(config|generation_config|tokenizer|tokenizer_config)\.json$|\.jinja$|\.safetensors$/.test(
			name,
		),
	);
	return {
		name: "bundled-model",
		generateBundle() {
			for (const name of names)
				this.emitFile({
					type: "asset",
					fileName: `demo-model/${name}`,
					source: readFileSync(join(folder, name)),
				});
		},
		configureServer({ middlewares }) {
			middlewares.use("/demo-model/", (request, response, next) => {
				const name = basename(request.url ?? "");
				if (!names.includes(name)) return next();
				sendRange(join(folder, name), request.headers.range, response);
			});
		},
	};
}

/** All of a file or the one span asked for. */
function sendRange(
	path: string,
	range: string | undefined,
	response: import("node:http").ServerResponse,
): void {
	const { size } = statSync(path);
	const span = /^bytes=(\d+)-(\d*)$/.exec(range ?? "");
	const start = Number(span?.[1] ?? 0);
	const end = Math.min(Number(span?.[2] || size - 1), size - 1);
	response.setHeader("Content-Length", end - start + 1);
	if (span)
		response.setHeader("Content-Range", `bytes ${start}-${end}/${size}`);
	response.statusCode = span ? 206 : 200;
	createReadStream(path, { start, end }).pipe(response);
}

/** The grammar worker imports it from beside itself, as it is: it is no ES module. */
function xgrammar(): Plugin {
	const read = () =>
		readFileSync(new URL(import.meta.resolve("@mlc-ai/web-xgrammar")));
	return {
		name: "xgrammar",
		generateBundle() {
			this.emitFile({
				type: "asset",
				fileName: "assets/web-xgrammar.js",
				source: read(),
			});
		},
		configureServer({ middlewares }) {
			middlewares.use((request, response, next) => {
				if (!request.url?.endsWith("/web-xgrammar.js")) return next();
				response.setHeader("Content-Type", "text/javascript");
				response.end(read());
			});
		},
	};
}
