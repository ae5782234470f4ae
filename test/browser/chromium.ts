/**
 * A headless Chromium from npm (x64 Linux), unpacked once into node_modules/.cache; elsewhere the Chrome that is installed.
 * Needs nothing of the system but libc: the libraries that a bare machine lacks come in the same package.
 */
import { execFileSync } from "node:child_process";
import {
	existsSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	renameSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";
import { type Browser, chromium } from "playwright-core";

const npmFolder = fileURLToPath(
	new URL("..", import.meta.resolve("@sparticuz/chromium")),
);

/** @param flags command-line switches besides those every run gets */
export async function launchChromium(
	flags: readonly string[] = [],
): Promise<Browser> {
	const args = [...flags];
	if (process.platform !== "linux" || process.arch !== "x64")
		return chromium.launch({ channel: "chrome", args });
	const folder = unpackOnce();
	const executablePath = join(folder, "chromium");
	try {
		return await chromium.launch({ executablePath, args });
	} catch (error) {
		if (!String(error).includes("error while loading shared libraries"))
			throw error;
		const env = { ...process.env, LD_LIBRARY_PATH: join(folder, "lib") };
		return chromium.launch({ executablePath, args, env });
	}
}

/** The folder with chromium, its swiftshader (libvulkan.so.1 and an ICD) and, in lib/, what it links beyond libc. */
export function unpackOnce(): string {
	const { version } = JSON.parse(
		readFileSync(join(npmFolder, "package.json"), "utf8"),
	);
	const cache = join(npmFolder, "../../.cache/nano-vllm");
	const folder = join(cache, `chromium-${version}`);
	if (existsSync(folder)) return folder;
	mkdirSync(cache, { recursive: true });
	const fresh = mkdtempSync(`${folder}-`);
	const archive = (name: string) =>
		brotliDecompressSync(readFileSync(join(npmFolder, "bin", name)));
	writeFileSync(join(fresh, "chromium"), archive("chromium.br"), {
		mode: 0o755,
	});
	for (const name of ["swiftshader.tar.br", "al2023.tar.br"])
		execFileSync("tar", ["-x", "-C", fresh], { input: archive(name) });
	try {
		renameSync(fresh, folder);
	} catch (error) {
		// Another process was faster.
		if (!existsSync(folder)) throw error;
		rmSync(fresh, { recursive: true });
	}
	return folder;
}
