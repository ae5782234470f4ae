/** Lines of code per room (no blank lines, no comments). The core should stay near nano-vLLM's 1,200. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..", "src");
const CORE = new Set(["engine", "models", "requests", "llm.ts", "config.ts"]);

const lines = new Map<string, number>();
for (const file of readdirSync(root, { recursive: true, encoding: "utf8" })) {
	if (!file.endsWith(".ts")) continue;
	const parts = file.split("/");
	const room =
		parts[0] === "backends" && parts.length > 2
			? parts.slice(0, 2).join("/")
			: parts[0];
	const text = readFileSync(join(root, file), "utf8");
	lines.set(room, (lines.get(room) ?? 0) + codeLines(text));
}

let core = 0;
let all = 0;
for (const [room, count] of [...lines].sort()) {
	const mark = CORE.has(room) ? "core" : "";
	if (mark) core += count;
	all += count;
	console.log(`${room.padEnd(22)} ${String(count).padStart(6)}  ${mark}`);
}
console.log(`${"core".padEnd(22)} ${String(core).padStart(6)}`);
console.log(`${"all".padEnd(22)} ${String(all).padStart(6)}`);

function codeLines(text: string): number {
	const code = text.replace(/\/\*[\s\S]*?\*\//g, "");
	return code
		.split("\n")
		.filter((line) => line.trim() !== "" && !line.trim().startsWith("//"))
		.length;
}
