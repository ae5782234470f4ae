/** Every relative link of the documentation leads to a file that is there, and every fragment to a heading of it. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "../..");
const SKIPPED = /(^|\/)(node_modules|dist|\.[^/]+)(\/|$)/;
const files = readdirSync(root)
	.filter((entry) => !SKIPPED.test(entry))
	.flatMap((entry) =>
		statSync(join(root, entry)).isDirectory()
			? readdirSync(join(root, entry), {
					recursive: true,
					encoding: "utf8",
				}).map((file) => `${entry}/${file.replaceAll("\\", "/")}`)
			: [entry],
	)
	.filter((file) => file.endsWith(".md") && !SKIPPED.test(file));

/** Targets of links and images outside of code. */
function linksOf(markdown: string): string[] {
	const prose = markdown
		.replace(/^```[\s\S]*?^```/gm, "")
		.replace(/`[^`\n]*`/g, "");
	const inline = prose.matchAll(/\]\(([^()\s]+)(?:\s+"[^"]*")?\)/g);
	const html = prose.matchAll(/\b(?:src|href)="([^"]+)"/g);
	return [...inline, ...html].map((match) => match[1]);
}

/** As GitHub names them: small letters, no punctuation, spaces as dashes. */
function anchorsOf(markdown: string): Set<string> {
	const headings = markdown
		.replace(/^```[\s\S]*?^```/gm, "")
		.matchAll(/^#+\s+(.+)$/gm);
	return new Set(
		[...headings].map(([, heading]) =>
			heading
				.toLowerCase()
				.replace(/[^\p{L}\p{N}\s_-]/gu, "")
				.trim()
				.replace(/\s/g, "-"),
		),
	);
}

/** null: all is well. */
function brokenness(file: string, link: string): string | null {
	const [path, fragment] = decodeURI(link).split("#");
	const target =
		path === "" ? join(root, file) : join(root, dirname(file), path);
	if (relative(root, target).startsWith(".."))
		return "leads out of the repository";
	if (!existsSync(target)) return "leads nowhere";
	if (fragment === undefined || !target.endsWith(".md")) return null;
	if (!statSync(target).isFile()) return "is a folder with a fragment";
	const isThere = anchorsOf(readFileSync(target, "utf8")).has(fragment);
	return isThere ? null : "names a heading that is not there";
}

test("links between the documents and to files lead somewhere", () => {
	let numChecked = 0;
	const broken: string[] = [];
	for (const file of files) {
		for (const link of linksOf(readFileSync(join(root, file), "utf8"))) {
			if (/^[a-z][a-z+.-]*:/i.test(link)) continue;
			numChecked++;
			const problem = brokenness(file, link);
			if (problem !== null) broken.push(`${file}: ${link} ${problem}`);
		}
	}
	assert.ok(numChecked > 50, `${numChecked} links are found`);
	assert.deepEqual(broken, []);
});

test("the check sees what it looks for", () => {
	const text = "[a](b.md#c) ![d](e.svg) `[no](x.md)`\n```\n[no](y.md)\n```\n";
	assert.deepEqual(linksOf(text), ["b.md#c", "e.svg"]);
	assert.equal(brokenness("README.md", "docs/nowhere.md"), "leads nowhere");
	assert.equal(
		brokenness("README.md", "../x.md"),
		"leads out of the repository",
	);
	assert.equal(
		brokenness("README.md", "docs/structure.md#no-such-heading"),
		"names a heading that is not there",
	);
	assert.deepEqual(
		[...anchorsOf("# A request's life in eight steps\n## GPTQ, AWQ")],
		["a-requests-life-in-eight-steps", "gptq-awq"],
	);
});
