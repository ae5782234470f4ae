/** Bundles the test's entry and the cpu backend's worker as an application would. A `node:` module within reach is an error. */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const pathOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** Contents by file name: entry.js, worker.js, and the chunks both import. */
export async function bundle(): Promise<ReadonlyMap<string, Uint8Array>> {
	const { outputFiles } = await build({
		entryPoints: {
			entry: pathOf("./entry.ts"),
			worker: pathOf("../../src/backends/cpu/worker.ts"),
		},
		bundle: true,
		splitting: true,
		format: "esm",
		platform: "browser",
		target: "es2022",
		outdir: "/",
		write: false,
		logLevel: "silent",
	});
	return new Map(
		outputFiles.map(({ path, contents }) => [
			path.replace(/^.*[\\/]/, ""),
			contents,
		]),
	);
}
