/**
 * A model in files the user gives: dropped on the page, chosen in a dialog, or a folder opened. Finds the model among them; reads
 * nothing of it.
 */
import { NanoVllmError } from "../errors.ts";
import { type FileMap, fileMap } from "../weights/source.ts";

/** `event.dataTransfer` of a drop, `input.files`, files, a folder of showDirectoryPicker. */
export type UserFiles =
	| DataTransfer
	| FileList
	| readonly File[]
	| FileSystemDirectoryHandle;

/** A folder this deep holds no model. */
const MAX_DEPTH = 8;
const MAX_FILES = 10_000;

/**
 * A folder with config.json and *.safetensors, or a GGUF with all its parts, wherever among the files it lies. What DataTransfer holds is
 * gone when the handler of the drop returns: call this before you await anything.
 * @throws model_not_found where there is none, or more than one
 */
export async function droppedFiles(from: UserFiles): Promise<FileMap> {
	const files = new Map<string, File>();
	const add = (path: string, file: File) => {
		if (files.size < MAX_FILES) files.set(path.replace(/^\/+/, ""), file);
	};
	if ("items" in from) await readTransfer(from, add);
	else if ("getDirectoryHandle" in from) await readFolder(from, "", 0, add);
	else
		for (const file of Array.from(from))
			add(file.webkitRelativePath || file.name, file);
	return modelAmong(files);
}

type Add = (path: string, file: File) => void;

async function readTransfer(transfer: DataTransfer, add: Add): Promise<void> {
	// All entries first: after the first await the list is empty.
	const entries = Array.from(transfer.items ?? [], (item) =>
		item.kind === "file" ? (item.webkitGetAsEntry?.() ?? null) : null,
	).filter((entry) => entry !== null);
	if (entries.length === 0)
		for (const file of Array.from(transfer.files)) add(file.name, file);
	for (const entry of entries) await readEntry(entry, 0, add);
}

async function readEntry(
	entry: FileSystemEntry,
	depth: number,
	add: Add,
): Promise<void> {
	if (entry.isFile) {
		const { fullPath } = entry;
		const file = await new Promise<File>((resolve, reject) =>
			(entry as FileSystemFileEntry).file(resolve, reject),
		);
		return add(fullPath, file);
	}
	if (depth >= MAX_DEPTH) return;
	const reader = (entry as FileSystemDirectoryEntry).createReader();
	for (;;) {
		// A hundred at a time, none when there are no more.
		const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
			reader.readEntries(resolve, reject),
		);
		if (some.length === 0) return;
		for (const child of some) await readEntry(child, depth + 1, add);
	}
}

async function readFolder(
	folder: FileSystemDirectoryHandle,
	before: string,
	depth: number,
	add: Add,
): Promise<void> {
	for await (const handle of folder.values()) {
		const path = `${before}${folder.name}/`;
		if (handle.kind === "file")
			add(path + handle.name, await (handle as FileSystemFileHandle).getFile());
		else if (depth < MAX_DEPTH)
			await readFolder(
				handle as FileSystemDirectoryHandle,
				path,
				depth + 1,
				add,
			);
	}
}

const folderOf = (path: string) => path.slice(0, path.lastIndexOf("/") + 1);
const nameOf = (path: string) => path.slice(path.lastIndexOf("/") + 1);

/** NAME-00002-of-00005.gguf */
const PART = /-\d{5}-of-\d{5}\.gguf$/i;

function modelAmong(files: ReadonlyMap<string, File>): FileMap {
	const paths = [...files.keys()];
	const checkpoints = [...new Set(paths.map(folderOf))].filter(
		(folder) =>
			files.has(`${folder}config.json`) &&
			paths.some((path) => isInFolder(path, folder, /\.safetensors$/i)),
	);
	const ggufs = paths.filter((path) => /\.gguf$/i.test(path));
	const whole = new Set(ggufs.map((path) => path.replace(PART, ".gguf")));
	const folders =
		checkpoints.length > 0 ? checkpoints : [...whole].map(folderOf);
	if (folders.length !== 1)
		throw new NanoVllmError("model_not_found", complaint(paths, folders));
	const [folder] = folders;
	const wanted = checkpoints.length > 0 ? paths : ggufs;
	const inside = wanted
		.filter((path) => path.startsWith(folder))
		.map(
			(path) => [path.slice(folder.length), files.get(path) as File] as const,
		);
	return fileMap(nameOf(folder.slice(0, -1)) || "files", new Map(inside));
}

const isInFolder = (path: string, folder: string, name: RegExp): boolean =>
	folderOf(path) === folder && name.test(path);

function complaint(
	paths: readonly string[],
	folders: readonly string[],
): string {
	if (folders.length > 1)
		return `wanted one model, got ${folders.length}, in ${folders.map((folder) => folder || "no folder").join(", ")}. Give one of them.`;
	const shown = paths.slice(0, 8).map(nameOf).join(", ");
	const got =
		paths.length === 0 ? "no files" : `${paths.length} files (${shown})`;
	return `wanted a folder with config.json and *.safetensors, or one GGUF with all its parts, got ${got}. Drop the whole folder, not only what is in it.`;
}
