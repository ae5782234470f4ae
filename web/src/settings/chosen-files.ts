/** Files that were dropped or chosen → a model's folder. Nothing is read yet. */
import { type FileMap, fileMap } from "../../../src/browser.ts";

/** A file and where it lay in what was chosen: "folder/model.safetensors". */
interface PlacedFile {
	readonly path: string;
	readonly file: File;
}

/** @throws Error where there is no model among them */
export function modelOfFiles(files: Iterable<File>): FileMap {
	return modelOf(
		Array.from(files, (file) => ({
			path: file.webkitRelativePath || file.name,
			file,
		})),
	);
}

/** @throws Error where there is no model among what was dropped */
export async function modelOfDrop(drop: DataTransfer): Promise<FileMap> {
	// All at once: the list is emptied when this turn of the event loop is over.
	const entries = [...drop.items]
		.map((item) => item.webkitGetAsEntry())
		.filter((entry) => entry !== null);
	const files = await Promise.all(entries.map(filesIn));
	return modelOf(files.flat());
}

async function filesIn(entry: FileSystemEntry): Promise<PlacedFile[]> {
	const path = entry.fullPath.replace(/^\//, "");
	if (entry.isFile) {
		const file = await new Promise<File>((resolve, reject) =>
			(entry as FileSystemFileEntry).file(resolve, reject),
		);
		return [{ path, file }];
	}
	const reader = (entry as FileSystemDirectoryEntry).createReader();
	const inside: FileSystemEntry[] = [];
	for (;;) {
		// A hundred at a time, as browsers give them.
		const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
			reader.readEntries(resolve, reject),
		);
		if (some.length === 0) break;
		inside.push(...some);
	}
	return (await Promise.all(inside.map(filesIn))).flat();
}

/** The folder that holds the model: of config.json, or of a *.gguf. */
function modelOf(files: readonly PlacedFile[]): FileMap {
	const marker =
		files.find(({ path }) => /(^|\/)config\.json$/.test(path)) ??
		files.find(({ path }) => path.toLowerCase().endsWith(".gguf"));
	if (marker === undefined)
		throw new Error(
			`wanted a folder with config.json, tokenizer.json and *.safetensors, or a *.gguf; got ${describe(files)}. Drop the model's whole folder.`,
		);
	const folder = marker.path.slice(0, marker.path.lastIndexOf("/") + 1);
	const label = folder.split("/").at(-2) ?? marker.path;
	const contents = files
		.filter(({ path }) => path.startsWith(folder))
		.map(({ path, file }) => [path.slice(folder.length), file] as const);
	return fileMap(label, new Map(contents));
}

function describe(files: readonly PlacedFile[]): string {
	const [first] = files;
	if (first === undefined) return "no files";
	return files.length === 1 ? first.path : `${files.length} files`;
}
