/** What greedy.ts found, as a table for people, as JSON, and as a lasting record in bench/results. */
import { appendFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { tableOf, today } from "./report.ts";

export interface GreedyResult {
	readonly name: string;
	readonly type: string;
	/** As config.json names it; empty where nothing was written. */
	readonly architecture: string;
	readonly numPrompts: number;
	readonly verdict: string;
	readonly isWrong: boolean;
	readonly bound?: number;
	readonly largestGap?: number;
	readonly firsts?: readonly {
		readonly equal: number;
		readonly gap: number | null;
	}[];
}

export type GreedyFigures = ReturnType<typeof greedyFigures>;

export function greedyFigures(
	results: readonly GreedyResult[],
	run: {
		readonly device: string;
		readonly numTokens: number;
		/** llama.cpp of its build. */
		readonly about: string;
	},
) {
	return {
		date: today(),
		machine: { cpu: cpus()[0].model.trim(), cores: availableParallelism() },
		runtime: `node ${process.version}`,
		...run,
		results,
	};
}

export function greedyTable({
	results,
	numTokens,
	device,
}: GreedyFigures): string {
	return tableOf(
		[
			`${numTokens} greedy tokens, device ${device}`,
			"type",
			"answers equal",
			"tokens until then",
			"largest gap",
			"bound",
			"",
		],
		results.map((it) => [
			it.architecture === "" ? it.name : `${it.name} (${it.architecture})`,
			it.type,
			equalCell(it),
			it.firsts?.map(({ equal }) => equal).join(" ") ?? "–",
			it.largestGap?.toFixed(4) ?? "–",
			it.bound?.toString() ?? "–",
			it.firsts === undefined ? it.verdict : it.isWrong ? "WRONG" : "ok",
		]),
	);
}

function equalCell({ firsts }: GreedyResult): string {
	if (firsts === undefined) return "–";
	const equal = firsts.filter(({ gap }) => gap === null).length;
	return `${equal} of ${firsts.length}`;
}

/** Writes bench/results/DATE-greedy-llama.json and a line for it. */
export function recordGreedy(figures: GreedyFigures): void {
	const directory = join(import.meta.dirname, "..", "results");
	const name = `${figures.date}-greedy-llama.json`;
	writeFileSync(join(directory, name), `${JSON.stringify(figures, null, 2)}\n`);
	const { machine, runtime, device, numTokens } = figures;
	const text = `
## ${figures.date}: the same GGUF files in llama.cpp

\`node bench/peers/greedy.ts --device ${device} --tokens ${numTokens}\` on ${machine.cpu}, ${machine.cores} cores, ${runtime.replace("node v", "Node ")}. A gap is what our best logit has over the token that llama.cpp chose. [JSON](${name})

${greedyTable(figures)}
`;
	appendFileSync(join(directory, "README.md"), text);
}
