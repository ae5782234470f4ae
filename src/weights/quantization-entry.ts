/** Where config.json says that its checkpoint is quantized. Knows no method. */
import { isRecord } from "./safetensors-header.ts";

/** Multimodal wrappers have it one level deeper; compressed-tensors has a name of its own. null: nothing is said. */
export function quantizationEntry(json: unknown): unknown {
	if (!isRecord(json)) return null;
	const text = isRecord(json.text_config) ? json.text_config : {};
	return (
		json.quantization_config ??
		json.compression_config ??
		text.quantization_config ??
		null
	);
}
