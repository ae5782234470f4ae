/** What differs from layer to layer of a config.json: which have a sliding window, which know positions. */
import { show } from "../config.ts";
import {
	flag,
	invalid,
	type Json,
	MAX_CONTEXT,
	MAX_LAYERS,
	size,
	unsupported,
} from "./fields.ts";

/**
 * Per layer: tokens a query may look back, null for all. layer_types says it by layer; else every sliding_window_pattern-th layer is
 * without one (Gemma 3), else those from max_window_layers on have it (Qwen), which is all of them where nothing is said.
 */
export function parseSlidingWindows(
	json: Json,
	numLayers: number,
): (number | null)[] {
	const types = parseLayerTypes(json, numLayers);
	const isUsed = flag(json, "use_sliding_window", true);
	if ((json.sliding_window ?? null) === null || !isUsed)
		return new Array(numLayers).fill(null);
	const length = size(json, "sliding_window", MAX_CONTEXT);
	const isSliding = slidingLayers(json, types);
	return Array.from({ length: numLayers }, (_, i) =>
		isSliding(i) ? length : null,
	);
}

function slidingLayers(
	json: Json,
	types: unknown[] | null,
): (layer: number) => boolean {
	if (types !== null) return (i) => types[i] === "sliding_attention";
	const key =
		"_sliding_window_pattern" in json
			? "_sliding_window_pattern"
			: "sliding_window_pattern";
	if ((json[key] ?? null) !== null) {
		const every = size(json, key, MAX_LAYERS);
		return (i) => (i + 1) % every !== 0;
	}
	const first = json.max_window_layers ?? 0;
	if (!Number.isSafeInteger(first) || (first as number) < 0)
		throw invalid(
			`config.json: max_window_layers must be an integer of at least 0, got ${show(first)}.`,
		);
	return (i) => i >= (first as number);
}

/** null where the config has none. */
function parseLayerTypes(json: Json, numLayers: number): unknown[] | null {
	const types = json.layer_types ?? null;
	if (types === null) return null;
	checkPerLayer("layer_types", types, numLayers);
	for (const type of types)
		if (type !== "full_attention" && type !== "sliding_attention")
			throw unsupported(
				`config.json: layer type ${show(type)} is not supported, only "full_attention" and "sliding_attention".`,
			);
	return types;
}

/** Per layer, whether q and k turn. no_rope_layers holds 1 where they do; else every no_rope_layer_interval-th layer does not (SmolLM3). */
export function parseRopeLayers(json: Json, numLayers: number): boolean[] {
	const layers = json.no_rope_layers ?? null;
	if (layers !== null) {
		checkPerLayer("no_rope_layers", layers, numLayers);
		return layers.map((it) => it !== 0);
	}
	if ((json.no_rope_layer_interval ?? null) === null)
		return new Array(numLayers).fill(true);
	const every = size(json, "no_rope_layer_interval", MAX_LAYERS);
	return Array.from({ length: numLayers }, (_, i) => (i + 1) % every !== 0);
}

function checkPerLayer(
	key: string,
	value: unknown,
	numLayers: number,
): asserts value is unknown[] {
	if (!Array.isArray(value))
		throw invalid(`config.json: ${key} must be a list, got ${show(value)}.`);
	if (value.length !== numLayers)
		throw invalid(
			`config.json: ${key} has ${value.length} entries for ${numLayers} layers.`,
		);
}
