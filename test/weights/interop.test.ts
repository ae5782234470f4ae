/** Checkpoints written by the format's reference implementation, from disk: what the golden files of the models were made with. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { platform } from "../../src/platform/node.ts";
import { bytesPerElement, findNonFinite } from "../../src/weights/convert.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";

const golden = fileURLToPath(new URL("../golden/qwen3", import.meta.url));

for (const name of await readdir(golden))
	test(`${name} is read whole and finite`, async () => {
		const files = await platform.localFiles(`${golden}/${name}`);
		const source = await openSafetensors(files);
		assert.ok(source.tensors.has("model.embed_tokens.weight"));
		for (const { name, shape, dtype } of source.tensors.values()) {
			const bytes = await source.read(name, 0, shape[0] ?? 1);
			const elements = shape.reduce((a, b) => a * b, 1);
			assert.equal(bytes.length, elements * bytesPerElement[dtype]);
			assert.equal(findNonFinite(bytes, dtype), undefined, name);
		}
		await source.close();
	});
