/**
 * What a repository holds at a revision, as the hub's API tells it, asked in a few lines: what listing.ts is in browsers, where its
 * package cannot be.
 */
import { isCommit, type ModelId } from "./model-id.ts";
import {
	type Listing,
	parseEntry,
	type RepoEntry,
	type RepoFile,
	unreadable,
} from "./repo-file.ts";
import { type Fetch, type Hub, patientFetch } from "./request.ts";

/** A repository of more pages than that, a thousand files each, is none of a model. */
const MAX_PAGES = 100;

/** Two requests, more for more than a thousand files. @throws model_not_found, access_denied, download_failed */
export async function listRepo(
	hub: Hub,
	{ repo, revision }: ModelId,
	signal?: AbortSignal,
	maxRetries?: number,
): Promise<Listing> {
	const fetch = patientFetch(hub, signal, maxRetries);
	const base = `${hub.settings.endpoint}/api/models/${repo}`;
	const info = await fetch(`${base}/revision/${encodeURIComponent(revision)}`);
	const { sha } = (await readable(repo, info)) as { sha?: unknown };
	if (typeof sha !== "string" || !isCommit(sha)) throw unreadable(repo);
	const files = await listTree(fetch, repo, `${base}/tree/${sha}`);
	return { commit: sha, files };
}

async function listTree(
	fetch: Fetch,
	repo: string,
	tree: string,
): Promise<RepoFile[]> {
	const found: RepoFile[] = [];
	let url: string | null = `${tree}?recursive=true`;
	for (let page = 0; url !== null && page < MAX_PAGES; page++) {
		const response: Response = await fetch(url);
		const entries = await readable(repo, response);
		if (!Array.isArray(entries)) throw unreadable(repo);
		for (const entry of entries) {
			const file = parseEntry((entry ?? {}) as RepoEntry);
			if (file !== null) found.push(file);
		}
		url = nextPage(response, tree);
	}
	return found;
}

/** Of the same listing: a link that leads elsewhere would be given the token. */
function nextPage(response: Response, tree: string): string | null {
	const link = response.headers.get("Link") ?? "";
	const next = /<([^>]+)>;\s*rel="next"/.exec(link)?.[1] ?? null;
	return next?.startsWith(`${tree}?`) ? next : null;
}

async function readable(repo: string, response: Response): Promise<unknown> {
	try {
		return await response.json();
	} catch (error) {
		throw unreadable(repo, error);
	}
}
