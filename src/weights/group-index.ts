/** The group that each input of a layer is quantized with, where groups follow the order of activations (GPTQ's act-order). */
import { NanoVllmError } from "../errors.ts";
import type { RawTensors } from "./safetensors.ts";
import { type HeaderEntry, show } from "./safetensors-header.ts";
import { checkShape, wordsOf } from "./virtual-tensor.ts";

/**
 * entry: I32 [columns], each 0 to numGroups − 1. null where all are −1: an index that was made and never used, groups are in order.
 * @throws shape_mismatch, invalid_weights
 */
export async function readGroupIndex(
	raw: RawTensors,
	entry: HeaderEntry,
	columns: number,
	numGroups: number,
	signal: AbortSignal | undefined,
): Promise<Int32Array | null> {
	checkShape(entry, [columns], "one group for each input");
	const groups = wordsOf(await raw.readRaw(entry.name, 0, columns, signal));
	if (groups.every((group) => group === -1)) return null;
	const wrong = groups.findIndex((group) => group < 0 || group >= numGroups);
	if (wrong < 0) return groups;
	throw new NanoVllmError(
		"invalid_weights",
		`${show(entry.name)}: element ${wrong} is group ${groups[wrong]}, the layer has groups 0 to ${numGroups - 1}. The checkpoint is damaged; download it again.`,
	);
}
