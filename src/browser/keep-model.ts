/** Keeps a model the user has given as files in the browser's own disk, so that it need not be given again. */
import { NanoVllmError } from "../errors.ts";
import {
	findFolder,
	freeBytes,
	KEPT_FOLDER,
	openRoot,
	removeEntry,
} from "../platform/opfs.ts";
import { bytes, type FileMap } from "../weights/source.ts";

export interface KeepOptions {
	/** What it shall be called; after its GGUF or its folder where left out. */
	readonly name?: string;
	readonly signal?: AbortSignal;
	readonly onProgress?: (loadedBytes: number, totalBytes: number) => void;
}

/**
 * Copies the files. A model of the same name is replaced.
 * @returns what to load it by
 * @throws output_failed where there is no room or no disk, signal.reason
 */
export async function keepModel(
	files: FileMap,
	{ name = nameOf(files), signal, onProgress }: KeepOptions = {},
): Promise<string> {
	const plain = name.replaceAll(/[^\p{L}\p{N}._ -]|^\.+/gu, "-") || "model";
	const path = `${KEPT_FOLDER}/files/${plain}`;
	const blobs = Array.from(
		files.contents,
		([file, content]) => [file, new Blob([content as BlobPart])] as const,
	);
	const totalBytes = blobs.reduce((sum, [, { size }]) => sum + size, 0);
	let loadedBytes = 0;
	const count = (numBytes: number) => {
		loadedBytes += numBytes;
		onProgress?.(loadedBytes, totalBytes);
	};
	const root = await openRoot();
	if (root === null)
		throw new NanoVllmError(
			"output_failed",
			"this browser keeps no files for this site: a private window, or a page that is not served by https. Load the files as they are.",
		);
	await checkRoom(totalBytes);
	const manifest = (isComplete: boolean) =>
		writeFile(root, `${path}/manifest.json`, stateOf(isComplete), signal);
	try {
		await removeEntry(root, path);
		await manifest(false);
		for (const [file, blob] of blobs)
			await writeFile(root, `${path}/${file}`, counted(blob, count), signal);
		await manifest(true);
	} catch (cause) {
		signal?.throwIfAborted();
		throw new NanoVllmError(
			"output_failed",
			`${plain} could not be kept (${(cause as Error).name}: ${(cause as Error).message}). Free some room, or load the files as they are.`,
			{ cause },
		);
	}
	return path;
}

function nameOf({ label, contents }: FileMap): string {
	const gguf = [...contents.keys()].find((name) => /\.gguf$/i.test(name));
	return gguf?.replace(/(-\d{5}-of-\d{5})?\.gguf$/i, "") ?? label;
}

const stateOf = (isComplete: boolean) =>
	new Blob([JSON.stringify({ isComplete })]).stream();

/** The same bytes; `count` is told of each piece. */
const counted = (blob: Blob, count: (numBytes: number) => void) =>
	blob.stream().pipeThrough(
		new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
			transform(chunk, controller) {
				count(chunk.byteLength);
				controller.enqueue(chunk);
			},
		}),
	);

async function writeFile(
	root: FileSystemDirectoryHandle,
	path: string,
	content: ReadableStream<Uint8Array<ArrayBuffer>>,
	signal: AbortSignal | undefined,
): Promise<void> {
	const at = path.lastIndexOf("/");
	const folder = await findFolder(root, path.slice(0, at), true);
	const options = { create: true };
	const handle = await folder?.getFileHandle(path.slice(at + 1), options);
	const writable = await handle?.createWritable();
	if (writable !== undefined) await content.pipeTo(writable, { signal });
}

async function checkRoom(wanted: number): Promise<void> {
	const free = await freeBytes();
	if (free === undefined || wanted <= free) return;
	throw new NanoVllmError(
		"output_failed",
		`the model takes ${bytes(wanted)}, the browser gives this site ${bytes(free)} more. Delete models that are kept (deleteCachedModel), or free some disk.`,
	);
}
