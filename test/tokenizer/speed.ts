/** node test/tokenizer/speed.ts: encoding 1 MB of words, the npm package and ours in turn. Milliseconds, best of three. */
import { Tokenizer as PackageTokenizer } from "../../src/tokenizer/huggingface.ts";
import { KINDS, loadTokenizer, readCases, readJson } from "./golden.ts";

const CHARACTERS = 1_000_000;

interface Encoder {
	encode(text: string): unknown;
}

/** Words of the golden strings in a seeded order, now and then with a number so that not all repeat. */
function text(kind: string): string {
	const words = readCases(kind).strings.flatMap((c) => c.text.split(" "));
	let state = 1;
	const draw = (below: number): number => {
		state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
		return state % below;
	};
	let out = "";
	while (out.length < CHARACTERS)
		out += `${words[draw(words.length)]} ${draw(4) === 0 ? draw(1e6) : ""} `;
	return out;
}

function time(encoder: Encoder, input: string): number {
	const start = performance.now();
	encoder.encode(input);
	return performance.now() - start;
}

for (const kind of KINDS) {
	const input = text(kind);
	const theirs = new PackageTokenizer(readJson(kind, "tokenizer.json"), {});
	const ours = loadTokenizer(kind);
	const best = { package: Infinity, ours: Infinity };
	for (let i = 0; i < 3; i++) {
		best.package = Math.min(
			best.package,
			time(theirs as unknown as Encoder, input),
		);
		best.ours = Math.min(best.ours, time(ours, input));
	}
	console.log(
		kind.padEnd(18),
		`package ${best.package.toFixed(0)}`,
		`ours ${best.ours.toFixed(0)}`,
	);
}
