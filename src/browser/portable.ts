/** Arguments as they cross threads: what cannot be sent is left out or taken apart on one side and put together on the other. */
import { NanoVllmError } from "../errors.ts";
import type { LoraRequest } from "../lora.ts";
import type {
	GenerateOptions,
	OneOrMany,
	RequestOptions,
} from "../requests/options.ts";
import { type FileMap, fileMap, type ModelFiles } from "../weights/source.ts";

/** A model as it crosses threads: a name, or a FileMap's contents. */
export type PortableModel = string | Pick<FileMap, "label" | "contents">;

export interface PortableLora {
	readonly name: string;
	readonly path?: PortableModel;
}

/** `progress`: whether the page wants to hear of it. */
export type PortableOptions<Options extends RequestOptions | GenerateOptions> =
	Omit<Options, "signal" | "progress" | "loraRequest"> & {
		readonly progress?: boolean;
		readonly loraRequest?: OneOrMany<PortableLora | null>;
	};

/** @throws invalid_option for files that only this thread can read */
export function packModel(model: string | ModelFiles): PortableModel {
	if (typeof model === "string") return model;
	const { label, contents } = model as FileMap;
	if (contents instanceof Map) return { label, contents };
	throw new NanoVllmError(
		"invalid_option",
		`${label ?? "the model"}: these files can be read in this thread alone. Give a URL, an id of the hub, or files from fileMap or droppedFiles.`,
	);
}

export function packLora(request: LoraRequest | null): PortableLora | null {
	if (request?.path === undefined) return request as PortableLora | null;
	return { ...request, path: packModel(request.path) };
}

/** What of the options can be sent. */
export function packOptions<Options extends GenerateOptions | RequestOptions>(
	options: Options,
) {
	const { signal, loraRequest, ...rest } = options;
	const progress = "progress" in options && options.progress !== undefined;
	const isMany = Array.isArray(loraRequest);
	return {
		...rest,
		progress,
		loraRequest: isMany
			? (loraRequest as (LoraRequest | null)[]).map(packLora)
			: packLora((loraRequest as LoraRequest | null | undefined) ?? null),
	};
}

export const unpackModel = (model: PortableModel): string | FileMap =>
	typeof model === "string" ? model : fileMap(model.label, model.contents);

export function unpackLora(request: PortableLora | null): LoraRequest | null {
	if (request?.path === undefined) return request as LoraRequest | null;
	return { ...request, path: unpackModel(request.path) };
}
