/** Several files at once: how far all of them are, what happens to the others when one fails, and whether there is room. */
import { NanoVllmError } from "../errors.ts";
import { bytes } from "../weights/source.ts";
import type { DiskHub } from "./blob.ts";
import { aborted } from "./request.ts";

export interface DownloadOptions {
	readonly signal?: AbortSignal;
	readonly onProgress?: (loadedBytes: number, totalBytes: number) => void;
}

interface Sized {
	readonly path: string;
	readonly size: number;
}

/** Files at once: enough to hide the small ones behind the large. */
const MAX_PARALLEL = 4;

/**
 * Fetches `missing`, some of `files`; the first failure stops the others. Progress counts all of `files`; nothing is told where
 * nothing is missing.
 * @param fetchOne `report`: bytes of the file that are here now; may go back
 */
export async function fetchTogether<File extends Sized>(
	files: readonly File[],
	missing: readonly File[],
	fetchOne: (
		file: File,
		signal: AbortSignal,
		report: (loadedBytes: number) => void,
	) => Promise<void>,
	{ signal, onProgress }: DownloadOptions,
): Promise<void> {
	const sum = (some: readonly File[]) =>
		some.reduce((total, { size }) => total + size, 0);
	const totalBytes = sum(files);
	let loadedBytes = totalBytes - sum(missing);
	const tell = () => onProgress?.(loadedBytes, totalBytes);
	const stop = new AbortController();
	const either = AbortSignal.any([stop.signal, ...(signal ? [signal] : [])]);
	if (missing.length > 0) tell();
	const queue = [...missing].reverse();
	const work = async () => {
		for (let file = queue.pop(); file; file = queue.pop()) {
			let before = 0;
			await fetchOne(file, either, (loaded) => {
				loadedBytes += loaded - before;
				before = loaded;
				tell();
			});
		}
	};
	const workers = Array.from({ length: MAX_PARALLEL }, () =>
		work().catch((error) => {
			stop.abort(error);
			throw error;
		}),
	);
	const ends = await Promise.allSettled(workers);
	if (signal?.aborted) throw aborted(signal.reason, signal);
	if (stop.signal.aborted) throw stop.signal.reason;
	for (const end of ends) if (end.status === "rejected") throw end.reason;
}

/** Better known before an hour of downloading than after it. `missing`: to be written into `folder`. @throws download_failed */
export async function checkRoom(
	{ files, settings }: DiskHub,
	folder: string,
	missing: readonly Sized[],
): Promise<void> {
	let wanted = 0;
	for (const { path, size } of missing) {
		const partial = await files.stat(`${folder}/${path}.incomplete`);
		wanted += Math.max(0, size - (partial?.size ?? 0));
	}
	const free = await files.freeBytes(folder);
	if (free === undefined || wanted <= free) return;
	throw new NanoVllmError(
		"download_failed",
		`the download needs ${bytes(wanted)}, the disk of ${settings.cacheFolder} has ${bytes(free)} left. ${files.roomMend}`,
	);
}
