/** Names of GGUF files: in paths and URLs, among a folder's files, and the parts of a split model. Opens nothing. */
import { NanoVllmError } from "../errors.ts";
import { show } from "./safetensors-header.ts";

/** NAME-00002-of-00005.gguf, as llama.cpp's gguf-split names them. */
const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;
/** Each part is an open file. */
const MAX_PARTS = 1024;

/** folder and file of a path or URL that ends in .gguf, a URL's query going with the folder; null for any other. */
export function splitGgufPath(
	path: string,
): { readonly folder: string; readonly name: string } | null {
	const isUrl = /^https?:\/\//.test(path);
	const match = isUrl
		? /^([^?#]*\/)([^/?#]+\.gguf)(\?[^#]*)?(?:#.*)?$/.exec(path)
		: /^(.*[/\\])?([^/\\]+\.gguf)$/.exec(path);
	if (match === null) return null;
	const [, folder = ".", name, query = ""] = match;
	return { folder: folder + query, name: isUrl ? decoded(name) : name };
}

function decoded(name: string): string {
	try {
		return decodeURIComponent(name);
	} catch {
		return name; // a "%" that stands for itself
	}
}

/**
 * The GGUF model among a folder's files; of a split one its first part. undefined where there is none.
 * @throws model_not_found where there are several
 */
export function findGguf(
	label: string,
	names: readonly string[],
): string | undefined {
	const found = names.filter(
		(name) => name.endsWith(".gguf") && Number(PART.exec(name)?.[2] ?? 1) === 1,
	);
	if (found.length <= 1) return found[0];
	throw new NanoVllmError(
		"model_not_found",
		`${label}: wanted one GGUF model, found ${found.length}: ${show(found)}. Give the path of the one to load.`,
	);
}

/** The names of all parts of the model that `name` is a part of, in order. @throws invalid_weights */
export function ggufParts(name: string): string[] {
	const match = PART.exec(name);
	if (match === null) return [name];
	const [, base, , total] = match;
	const count = Number(total);
	if (count < 1 || count > MAX_PARTS)
		throw new NanoVllmError(
			"invalid_weights",
			`${name}: wanted a model of 1 to ${MAX_PARTS} parts, the name says ${count}. Give the files the names they were written with.`,
		);
	return Array.from(
		{ length: count },
		(_, i) => `${base}-${String(i + 1).padStart(5, "0")}-of-${total}.gguf`,
	);
}

export function missingPart(
	label: string,
	part: string,
	name: string,
): NanoVllmError {
	const mend =
		part === name
			? "Check the path."
			: `${name} is one part of a split model: put all parts into one folder.`;
	return new NanoVllmError(
		"model_not_found",
		`${label}: wanted ${part}, found no such file. ${mend}`,
	);
}
