/** How code for pages is bundled, whatever is made of it. A module of Node within reach is an error. */
import type { BuildOptions, OutputFile } from "esbuild";

export const PAGE_BUILD = {
	bundle: true,
	splitting: true,
	format: "esm",
	platform: "browser",
	target: "es2022",
	outdir: "/",
	write: false,
	logLevel: "silent",
} as const satisfies BuildOptions;

/** What a bundle consists of, by the names of its files. */
export const filesByName = <Other = never>(
	files: readonly OutputFile[],
): Map<string, Uint8Array | Other> =>
	new Map(
		files.map(({ path, contents }) => [path.replace(/^.*[\\/]/, ""), contents]),
	);
