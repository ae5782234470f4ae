/**
 * Writes training text or the held-out files.
 *   node demo-model/corpus/generate.ts --seed 1 --megabytes 8 --out shard-1.txt    documents end in a NUL character
 *   node demo-model/corpus/generate.ts --held-out demo-model                       heldout.json and heldout.txt
 */
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { createDocument, heldOutItems, heldOutText } from "./corpus.ts";
import { createRandom } from "./random.ts";

const { values } = parseArgs({
	options: {
		seed: { type: "string", default: "1" },
		megabytes: { type: "string", default: "1" },
		out: { type: "string" },
		"held-out": { type: "string" },
	},
});

if (values["held-out"] !== undefined) {
	const lines = heldOutItems().map((item) => JSON.stringify(item));
	writeFileSync(
		`${values["held-out"]}/heldout.json`,
		`[\n${lines.join(",\n")}\n]\n`,
	);
	writeFileSync(`${values["held-out"]}/heldout.txt`, heldOutText(30_000));
}

if (values.out !== undefined) {
	const random = createRandom(Number(values.seed));
	const file = openSync(values.out, "w");
	let left = Number(values.megabytes) * 1e6;
	while (left > 0) {
		let chunk = "";
		while (chunk.length < 1e5) chunk += `${createDocument(random)}\0`;
		writeSync(file, chunk);
		left -= chunk.length;
	}
	closeSync(file);
}
