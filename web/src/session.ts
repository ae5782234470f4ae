/** The page's engine: none, being loaded, ready, or lost. One at a time; a new one closes the old. */
import { signal } from "@preact/signals";
import type { FileMap, LoadOptions, LoadProgress } from "nano-vllm";
import { keepModel } from "../../src/browser.ts";
import { fetchBundledModel } from "./bundled-model.ts";
import type { Engine, EngineSettings } from "./engine.ts";
import {
	type EngineChoice,
	rememberChoice,
	rememberedChoice,
	rememberedKey,
	type TabModel,
} from "./engine-choice.ts";

export type Session =
	| { readonly kind: "none" }
	| {
			readonly kind: "loading";
			readonly choice: EngineChoice;
			/** null: nothing is known of it yet. */
			readonly progress: LoadProgress | null;
	  }
	| {
			readonly kind: "ready";
			readonly choice: EngineChoice;
			readonly engine: Engine;
	  }
	/** It did not load, or it is lost. */
	| {
			readonly kind: "failed";
			readonly choice: EngineChoice;
			readonly message: string;
	  };

type LoadContext = Pick<LoadOptions, "signal" | "onProgress">;

export const session = signal<Session>({ kind: "none" });

let loading: AbortController | null = null;

/** Ends with `session` ready, or failed; a later call takes the place of one under way. */
export async function startEngine(
	wanted: EngineChoice,
	settings: Partial<EngineSettings> = {},
): Promise<void> {
	const controller = await leave();
	const isCurrent = () => loading === controller;
	let choice = wanted;
	const context: LoadContext = {
		signal: controller.signal,
		onProgress: (progress) => {
			if (isCurrent()) session.value = { kind: "loading", choice, progress };
		},
	};
	session.value = { kind: "loading", choice, progress: null };
	try {
		choice = await keptChoice(wanted, context);
		rememberChoice(choice);
		const engine = await openEngine(choice, settings, context);
		if (!isCurrent()) return engine.close();
		session.value = { kind: "ready", choice, engine };
		engine.lost.then((message) => {
			const now = session.value;
			if (now.kind !== "ready" || now.engine !== engine) return;
			session.value = { kind: "failed", choice, message };
		});
	} catch (error) {
		if (!isCurrent()) return;
		const message = error instanceof Error ? error.message : String(error);
		session.value = { kind: "failed", choice, message };
	}
}

/** As the reader left it. On a first visit the server that sends this page, if it has a model; else nothing is loaded yet. */
export async function resumeSession(): Promise<void> {
	const choice = rememberedChoice() ?? (await serverHere());
	if (choice !== null && session.value.kind === "none")
		await startEngine(choice);
}

/** null: the page comes from a host of plain files. */
async function serverHere(): Promise<EngineChoice | null> {
	const address = new URL(".", document.baseURI).href;
	try {
		const response = await fetch(new URL("version", address));
		const { version } = await response.json();
		if (typeof version !== "string") return null;
		return { place: "server", address, apiKey: rememberedKey() };
	} catch {
		return null;
	}
}

export async function stopEngine(): Promise<void> {
	await leave();
	session.value = { kind: "none" };
}

/** The tab's engine again with other settings. @throws what the load failed with */
export async function reloadEngine(settings: EngineSettings): Promise<Engine> {
	const { value } = session;
	if (value.kind === "none")
		throw new Error("there is no engine to load again. Choose a model first.");
	await startEngine(value.choice, settings);
	const now = session.value;
	if (now.kind === "ready") return now.engine;
	throw new Error(
		now.kind === "failed" ? now.message : "another model was chosen meanwhile.",
	);
}

/** Aborts a load and closes an engine. */
async function leave(): Promise<AbortController> {
	loading?.abort();
	const controller = new AbortController();
	loading = controller;
	const { value } = session;
	if (value.kind === "ready") await value.engine.close();
	return controller;
}

/** Files that shall be kept are from then on a model this browser has. */
async function keptChoice(
	choice: EngineChoice,
	{ signal, onProgress }: LoadContext,
): Promise<EngineChoice> {
	if (choice.place === "server" || choice.model.kind !== "files") return choice;
	if (!choice.model.isKept) return choice;
	const name = await keepModel(choice.model.files, {
		signal,
		onProgress: (loadedBytes, totalBytes) =>
			onProgress?.({ stage: "download", loadedBytes, totalBytes }),
	});
	return { ...choice, model: { kind: "named", name } };
}

async function openEngine(
	choice: EngineChoice,
	settings: Partial<EngineSettings>,
	context: LoadContext,
): Promise<Engine> {
	if (choice.place === "server") {
		const { openServerEngine } = await import("./engine-server.ts");
		return openServerEngine(choice, context.signal);
	}
	const [{ loadTabEngine }, model] = await Promise.all([
		import("./engine-tab.ts"),
		filesOf(choice.model, context),
	]);
	return loadTabEngine(model, {
		device: choice.device,
		...choice.settings,
		...settings,
		...context,
	});
}

function filesOf(
	model: TabModel,
	context: LoadContext,
): string | FileMap | Promise<FileMap> {
	switch (model.kind) {
		case "bundled":
			return fetchBundledModel(context);
		case "named":
			return model.name;
		case "files":
			return model.files;
		default:
			return model satisfies never;
	}
}
