/** The model served beside the page. Fetched whole: the plainest of static hosts know no range requests. */
import type { FileMap, LoadOptions } from "nano-vllm";
import { fileMap } from "../../src/browser.ts";

export const BUNDLED_NAME = "demo-model";
/** For "15 MB" beside the button, before anything is fetched. */
export const BUNDLED_BYTES = 14_964_852;

const NAMES = [
	"config.json",
	"generation_config.json",
	"tokenizer.json",
	"tokenizer_config.json",
	"model.safetensors",
];

export async function fetchBundledModel({
	signal,
	onProgress,
}: Pick<LoadOptions, "signal" | "onProgress">): Promise<FileMap> {
	let loadedBytes = 0;
	const count = (numBytes: number) => {
		loadedBytes += numBytes;
		const totalBytes = Math.max(BUNDLED_BYTES, loadedBytes);
		onProgress?.({ stage: "download", loadedBytes, totalBytes });
	};
	const files = await Promise.all(
		NAMES.map(async (name) => {
			const url = new URL(`${BUNDLED_NAME}/${name}`, document.baseURI);
			return [name, await fetchCounted(url, count, signal)] as const;
		}),
	);
	return fileMap(BUNDLED_NAME, new Map(files));
}

async function fetchCounted(
	url: URL,
	count: (numBytes: number) => void,
	signal: AbortSignal | undefined,
): Promise<Blob> {
	const response = await fetch(url, { signal });
	if (!response.ok || response.body === null)
		throw new Error(
			`${url.pathname}: wanted a file of the bundled model, got ${response.status}. Upload the folder ${BUNDLED_NAME} beside index.html.`,
		);
	const parts: Uint8Array<ArrayBuffer>[] = [];
	const reader = response.body.getReader();
	for (;;) {
		const { done, value } = await reader.read();
		if (done) return new Blob(parts);
		parts.push(value);
		count(value.byteLength);
	}
}
