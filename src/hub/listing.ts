/**
 * What a repository holds at a revision, as the hub's API tells it. The only file that knows @huggingface/hub, which is not for
 * browsers: bundlers take listing-browser.ts in its place (package.json, "browser").
 */
import { listFiles, modelInfo } from "@huggingface/hub";
import { NanoVllmError } from "../errors.ts";
import { isCommit, type ModelId } from "./model-id.ts";
import {
	type Listing,
	parseEntry,
	type RepoFile,
	unreadable,
} from "./repo-file.ts";
import { type Hub, patientFetch } from "./request.ts";

/** Two requests, more for more than a thousand files. @throws model_not_found, access_denied, download_failed */
export async function listRepo(
	hub: Hub,
	{ repo, revision }: ModelId,
	signal?: AbortSignal,
	maxRetries?: number,
): Promise<Listing> {
	const options = {
		hubUrl: hub.settings.endpoint,
		fetch: patientFetch(hub, signal, maxRetries) as typeof fetch,
	};
	const { sha } = await readable(repo, () =>
		modelInfo({ name: repo, revision, additionalFields: ["sha"], ...options }),
	);
	if (typeof sha !== "string" || !isCommit(sha)) throw unreadable(repo);
	const files = await readable(repo, async () => {
		const found: RepoFile[] = [];
		const entries = listFiles({
			repo,
			revision: sha,
			recursive: true,
			...options,
		});
		for await (const entry of entries) {
			const file = parseEntry(entry);
			if (file !== null) found.push(file);
		}
		return found;
	});
	return { commit: sha, files };
}

/** Errors of ours pass; what the package throws means an answer it could not read. */
async function readable<T>(repo: string, run: () => Promise<T>): Promise<T> {
	try {
		return await run();
	} catch (error) {
		throw error instanceof NanoVllmError ? error : unreadable(repo, error);
	}
}
