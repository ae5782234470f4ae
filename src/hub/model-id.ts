/** "org/name@revision:file" → its parts. Knows no network: whether such a model exists is another question. */
import { show } from "../config.ts";
import { NanoVllmError } from "../errors.ts";
import { isInside } from "../weights/source.ts";

/** A model on the hub. */
export interface ModelId {
	/** "org/name" */
	readonly repo: string;
	/** A branch, a tag or a commit. */
	readonly revision: string;
	/** One GGUF file of the repository, by its path or by its quantization ("Q4_K_M"); null for the safetensors. */
	readonly file: string | null;
}

const DEFAULT_REVISION = "main";

/** The hub's rules: letters, digits and . _ - with no "--" or ".."; 96 characters. */
const PART = "[A-Za-z0-9_](?:[A-Za-z0-9_]|[.-](?![.-])){0,95}";
const ID = new RegExp(
	`^(${PART}/${PART})(?:/([^@:]+\\.gguf))?(?:@([^:\\s]+))?(?::([^:]+))?$`,
);

/** null where the text cannot be an id. `revision`: said elsewhere, null when it is not. @throws invalid_option */
export function parseModelId(
	text: string,
	revision: string | null = null,
): ModelId | null {
	const [, repo, path, inId, afterColon] = ID.exec(text) ?? [];
	if (repo === undefined || repo.endsWith(".gguf")) return null;
	const file = path ?? afterColon ?? null;
	if (file !== null && (!isInside(file) || (path && afterColon))) return null;
	if (inId !== undefined && revision !== null && inId !== revision)
		throw new NanoVllmError(
			"invalid_option",
			`${text} names revision ${show(inId)}, the option revision ${show(revision)}. Give one of them.`,
		);
	const chosen = inId ?? revision ?? DEFAULT_REVISION;
	if (!isInside(chosen))
		throw new NanoVllmError(
			"invalid_option",
			`revision must be a branch, a tag or a commit, like "main", got ${show(chosen)}.`,
		);
	return { repo, revision: chosen, file };
}

/** As a user would write it. */
export function showId({ repo, revision, file }: ModelId): string {
	const at = revision === DEFAULT_REVISION ? "" : `@${revision}`;
	return `${repo}${at}${file === null ? "" : `:${file}`}`;
}

/** True for what names one commit for ever. */
export const isCommit = (revision: string): boolean =>
	/^[0-9a-f]{40}$/.test(revision);
