/**
 * Runs the tests: `node scripts/test.ts [--gpu] [FILE or GLOB …] [options of node --test]`, all files where none is named.
 * On x64 Linux the WebGPU tests run on SwiftShader, a Vulkan driver in software that comes with a package of npm; with --gpu on
 * the machine's own adapter. Its library path must be set before the process starts, hence this script.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { unpackOnce } from "../test/browser/chromium.ts";

const all = process.argv.slice(2);
const args = all.filter((arg) => arg !== "--gpu");
const env = { ...process.env };
if (
	!all.includes("--gpu") &&
	process.platform === "linux" &&
	process.arch === "x64"
) {
	const folder = unpackOnce();
	env.LD_LIBRARY_PATH = [folder, env.LD_LIBRARY_PATH].filter(Boolean).join(":");
	env.VK_ICD_FILENAMES = join(folder, "vk_swiftshader_icd.json");
	env.VK_DRIVER_FILES = env.VK_ICD_FILENAMES;
}
const files = args.some((arg) => !arg.startsWith("-"))
	? []
	: ["test/**/*.test.ts"];
const { status } = spawnSync(
	process.execPath,
	["--test", "--test-reporter=spec", ...args, ...files],
	{ env, stdio: "inherit" },
);
process.exit(status ?? 1);
