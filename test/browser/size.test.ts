/** What pages download stays within its budget: scripts/size.ts as a test. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { budgeted, measureSizes } from "../../scripts/size.ts";

test("engine, WebGPU and tokenizer stay within 120 kB gzipped; no part of a page names a module of Node", async (t) => {
	const sizes = await measureSizes();
	for (const { name, gzipBytes } of sizes) {
		assert.ok(gzipBytes > 0, `${name} is found`);
		t.diagnostic(`${(gzipBytes / 1000).toFixed(1)} kB  ${name}`);
	}
	const { gzipBytes, budgetBytes } = budgeted(sizes);
	assert.equal(budgetBytes, 120_000);
	assert.ok(gzipBytes <= budgetBytes, `${gzipBytes} bytes`);
	const page = sizes.find(({ name }) => name.startsWith("the page's side"));
	assert.ok(page && page.gzipBytes < 12_000, "a page loads no engine");
});
