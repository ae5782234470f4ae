/** What of a batch's flags decides what is answered, and the name of a job, which is a hash of it. */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { ENGINE_DEFAULTS, type EngineConfig } from "../config.ts";
import { resolveServerOptions, type ServerOptions } from "../server/options.ts";
import { type FlagTable, givenFlags } from "./flags.ts";
import { SERVER_FLAGS } from "./serve-flags.ts";

/** Of the server's flags, those that are about answers. */
export const ANSWER_FLAGS: FlagTable = {
	servedModelName: SERVER_FLAGS.servedModelName,
	maxBodyBytes: SERVER_FLAGS.maxBodyBytes,
	enableAutoToolChoice: SERVER_FLAGS.enableAutoToolChoice,
	toolCallParser: SERVER_FLAGS.toolCallParser,
	reasoningParser: SERVER_FLAGS.reasoningParser,
};

/** Of the engine's options, those that change what is answered; a run may go on with others on another device. */
export const ANSWER_OPTIONS = [
	"dtype",
	"quantization",
	"loadFormat",
	"revision",
	"maxModelLen",
	"kvCacheDtype",
	"seed",
] as const satisfies readonly (keyof EngineConfig)[];

/** A model's id on the hub, or the name of its folder or file. */
export const modelName = (model: string): string =>
	/^[\w.-]+\/[\w.-]+/.test(model) ? model : basename(model);

/** @throws invalid_option, before a model is loaded */
export function answerOptions(
	model: string,
	options: Readonly<Record<string, unknown>>,
): Partial<ServerOptions> {
	const given = {
		servedModelName: [modelName(model)],
		...givenFlags<ServerOptions>(ANSWER_FLAGS, options),
	};
	resolveServerOptions(given);
	return given;
}

/** Of the engine's options, those named that decide what is answered. */
export function namedChoices(
	engine: Partial<EngineConfig>,
): Partial<EngineConfig> {
	const named = ANSWER_OPTIONS.filter((key) => engine[key] !== undefined);
	return Object.fromEntries(named.map((key) => [key, engine[key]]));
}

/** What a loaded engine has for each of them, named or not. */
export const allChoices = (
	engine: Partial<EngineConfig>,
): Partial<EngineConfig> => namedChoices({ ...ENGINE_DEFAULTS, ...engine });

/**
 * Twelve hexadecimal digits of a hash of all that decides what is answered.
 * @param place the model's name, as the job knows it
 */
export function jobIdOf(
	sha256: string,
	place: string,
	engine: Partial<EngineConfig>,
	given: Partial<ServerOptions>,
): string {
	const options = ANSWER_OPTIONS.map((key) => engine[key] ?? null);
	const all = JSON.stringify([1, sha256, place, options, given]);
	return createHash("sha256").update(all).digest("hex").slice(0, 12);
}
