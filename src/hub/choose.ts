/** Which files of a repository a model needs. Knows names only. */
import { NanoVllmError } from "../errors.ts";
import { type ModelId, showId } from "./model-id.ts";

export const INDEX_NAME = "model.safetensors.index.json";

/** Small files a tokenizer, a chat template or a config may be spread over; none with another folder's name before it. */
const SMALL =
	/^(config|generation_config|preprocessor_config|tokenizer[^/]*|special_tokens_map|added_tokens|vocab|chat_template[^/]*)\.(json|jinja|model)$|^merges\.txt$|^additional_chat_templates\/[^/]+\.jinja$/;
const SHARD = /^model-\d+-of-\d+\.safetensors$/;
/** Weights of other tools: the same numbers once more, or a part of a model. */
const OTHER_WEIGHTS = /^(consolidated|adapter_model|optimizer|training)/;
const SPLIT = /-(\d{5})-of-(\d{5})\.gguf$/i;

/** Without `weights` the small files alone. @throws model_not_found when the weights are not among them */
export function chooseFiles(
	paths: readonly string[],
	id: ModelId,
	weights = true,
): readonly string[] {
	const small = paths.filter((path) => SMALL.test(path));
	if (!weights) return small;
	const ggufs = paths.filter(isModelGguf);
	if (id.file !== null) return [...small, ...chooseGguf(ggufs, paths, id)];
	const safetensors = chooseSafetensors(paths);
	if (safetensors.length > 0) return [...small, ...safetensors];
	const first = ggufs.find(isFirstPart);
	if (first === undefined)
		throw new NanoVllmError(
			"model_not_found",
			`${showId(id)}: wanted *.safetensors or *.gguf, found ${named(paths)}. Choose a repository with weights in one of these formats.`,
		);
	if (ggufs.filter(isFirstPart).length === 1)
		return [...small, ...partsOf(first, ggufs)];
	throw new NanoVllmError(
		"model_not_found",
		`${showId(id)} has several GGUF files: ${named(ggufs.filter(isFirstPart))}. Name one, like ${id.repo}:${quantizationOf(first) ?? first}.`,
	);
}

/** model.safetensors, else the shards of an index, else whatever safetensors lie at the top. */
function chooseSafetensors(paths: readonly string[]): readonly string[] {
	if (paths.includes("model.safetensors")) return ["model.safetensors"];
	const shards = paths.filter((path) => SHARD.test(path));
	if (paths.includes(INDEX_NAME) && shards.length > 0)
		return [INDEX_NAME, ...shards];
	return paths.filter(
		(path) => /^[^/]+\.safetensors$/.test(path) && !OTHER_WEIGHTS.test(path),
	);
}

function chooseGguf(
	ggufs: readonly string[],
	paths: readonly string[],
	id: ModelId,
): readonly string[] {
	const file = id.file ?? "";
	if (paths.includes(file)) return partsOf(file, paths);
	const wanted = file.toLowerCase();
	const hits = ggufs.filter(
		(path) =>
			isFirstPart(path) &&
			(nameOf(path).toLowerCase() === wanted ||
				quantizationOf(path)?.toLowerCase() === wanted),
	);
	// The plainest name where several have the quantization.
	const [hit] = hits.sort((a, b) => a.length - b.length);
	if (hit !== undefined) return partsOf(hit, ggufs);
	throw new NanoVllmError(
		"model_not_found",
		`${id.repo} has no file ${file}. ${ggufs.length === 0 ? "It has no GGUF files at all" : `It has ${named(ggufs.filter(isFirstPart))}`}; name one of its files or quantizations.`,
	);
}

/** Not the eyes of a model that sees, nor a table of importances. */
const isModelGguf = (path: string): boolean =>
	/\.gguf$/i.test(path) &&
	!/^(mmproj|imatrix)|imatrix\.gguf$/i.test(nameOf(path));

const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

function isFirstPart(path: string): boolean {
	return Number(SPLIT.exec(path)?.[1] ?? 1) === 1;
}

/** A large GGUF is cut into files NAME-00001-of-00003.gguf. */
function partsOf(first: string, paths: readonly string[]): readonly string[] {
	if (!SPLIT.test(first)) return [first];
	const stem = first.replace(SPLIT, "");
	return paths.filter(
		(path) => SPLIT.test(path) && path.replace(SPLIT, "") === stem,
	);
}

/** "Qwen3-0.6B-Q4_K_M.gguf" → "Q4_K_M" */
export function quantizationOf(path: string): string | null {
	const stem = nameOf(path)
		.replace(SPLIT, ".gguf")
		.replace(/\.gguf$/i, "");
	const match =
		/(?:^|[-._])((?:UD-)?(?:I?Q\d[A-Z0-9_]*|TQ\d_\d|MXFP4[A-Z0-9_]*|BF16|F16|F32))$/i.exec(
			stem,
		);
	return match?.[1] ?? null;
}

/** A number of parts a split GGUF must have, 1 for others. */
export const numPartsOf = (path: string): number =>
	Number(SPLIT.exec(path)?.[2] ?? 1);

/** "*" and "?" as in a shell, but "*" also passes "/", as the Python client's patterns do. */
export function matchesGlob(path: string, glob: string): boolean {
	const text = glob.replace(/[.+^${}()|[\]\\]/g, "\\$&");
	const pattern = text.replaceAll("*", ".*").replaceAll("?", ".");
	return new RegExp(`^${pattern}$`, "s").test(path);
}

/** A few names for a message. */
export function named(paths: readonly string[]): string {
	if (paths.length === 0) return "no files";
	const shown = paths.slice(0, 12).join(", ");
	return paths.length <= 12 ? shown : `${shown} and ${paths.length - 12} more`;
}
