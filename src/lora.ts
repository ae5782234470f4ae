/**
 * The adapters a model knows by name: read from their folders, kept in memory while they are used and a few beyond, handed to requests.
 * Knows names, files and who uses what; which of them lie on the device is engine/adapters.ts's business.
 */
import type { AdapterWeights } from "./backends/backend.ts";
import { show } from "./config.ts";
import type { Adapter } from "./engine/adapters.ts";
import { assert, NanoVllmError } from "./errors.ts";
import { findAdapter, readJson } from "./find-model.ts";
import type { Platform } from "./platform/platform.ts";
import {
	ADAPTER_CONFIG,
	ADAPTER_TENSORS,
	type AdapterRoom,
	readLora,
} from "./weights/lora.ts";
import { parseLoraConfig } from "./weights/lora-config.ts";
import type { ModelFiles } from "./weights/source.ts";

/** Which adapter a request goes through, as vLLM's LoRARequest. */
export interface LoraRequest {
	readonly name: string;
	/** A PEFT folder, a URL of one, an id of the hub, or files in memory: read the first time. May be left out for one that was loaded before. */
	readonly path?: string | ModelFiles;
}

export interface LoraAdapter {
	readonly name: string;
	readonly path: string;
	/** Unfinished requests that go through it. */
	readonly numRequests: number;
}

type OneOrMany<T> = T | readonly T[];

interface Entry {
	readonly name: string;
	readonly path: string | ModelFiles;
	/** null: to be read again when it is wanted. */
	adapter: Adapter | null;
	reading: Promise<Adapter> | null;
	numRequests: number;
}

export interface LoraOptions {
	readonly room: AdapterRoom;
	/** Adapters kept in memory, those in use aside. */
	readonly maxHeld: number;
	readonly platform: Platform;
	/** Called with an adapter that nobody uses any more and that will not come back. */
	readonly onDropped: (adapter: Adapter) => void;
}

export class LoraAdapters {
	readonly #options: LoraOptions;
	/** Used longest ago first. */
	readonly #entries = new Map<string, Entry>();
	/** Whose adapter each is, also when it has been unloaded meanwhile. */
	readonly #owners = new Map<Adapter, Entry>();
	#numRead = 0;

	constructor(options: LoraOptions) {
		this.#options = options;
	}

	/** @throws adapter_not_found, invalid_adapter, unsupported_adapter, shape_mismatch and others of reading files */
	async load(name: string, path: string | ModelFiles): Promise<void> {
		await this.#held(this.#entry({ name, path }));
	}

	/** No new request finds it; those it has go on. @throws adapter_not_found */
	unload(name: string): void {
		const entry = this.#entries.get(name);
		if (entry === undefined) throw unknown(name, this.#entries.keys());
		this.#entries.delete(name);
		if (entry.numRequests === 0) this.#drop(entry);
	}

	list(): LoraAdapter[] {
		return Array.from(
			this.#entries.values(),
			({ name, path, numRequests }) => ({
				name,
				path: labelOf(path),
				numRequests,
			}),
		);
	}

	/**
	 * The adapters of `count` requests, each to be released when its request is over. All or none.
	 * @param requests one for all, or one (or null) for each
	 * @throws invalid_option, and as load
	 */
	async acquire(
		requests: OneOrMany<LoraRequest | null>,
		count: number,
	): Promise<(Adapter | null)[]> {
		const list = isList(requests) ? requests : new Array(count).fill(requests);
		if (list.length !== count)
			throw new NanoVllmError(
				"invalid_option",
				`${list.length} loraRequests for ${count} prompts. Give one for all, or one (or null) for each.`,
			);
		const entries: (Entry | null)[] = [];
		const settle = (entry: Entry | null) => entry && this.#settle(entry);
		try {
			for (const request of list) {
				const entry = request === null ? null : this.#entry(request);
				if (entry !== null) entry.numRequests++;
				entries.push(entry);
			}
			return await Promise.all(
				entries.map((entry) => entry && this.#held(entry)),
			);
		} catch (error) {
			entries.forEach(settle);
			throw error;
		}
	}

	/** A request that went through it is over. */
	release(adapter: Adapter): void {
		const entry = this.#owners.get(adapter);
		assert(entry !== undefined, "an adapter is released as often as acquired");
		this.#settle(entry);
	}

	#settle(entry: Entry): void {
		entry.numRequests--;
		if (entry.numRequests > 0) return;
		if (this.#entries.get(entry.name) !== entry) this.#drop(entry);
		else this.#trim();
	}

	/** The entry of that name, the last in order from now on; a new one where there is none. */
	#entry({ name, path }: LoraRequest): Entry {
		if (typeof name !== "string" || name === "")
			throw new NanoVllmError(
				"invalid_option",
				`an adapter's name must be a non-empty string, got ${show(name)}.`,
			);
		const known = this.#entries.get(name);
		if (known === undefined && path === undefined)
			throw unknown(name, this.#entries.keys());
		if (known && path !== undefined && path !== known.path)
			throw new NanoVllmError(
				"invalid_option",
				`adapter ${name} was loaded from ${labelOf(known.path)}, not from ${labelOf(path)}. Unload it first, or give the other another name.`,
			);
		const entry = known ?? {
			name,
			path: path as string | ModelFiles,
			adapter: null,
			reading: null,
			numRequests: 0,
		};
		this.#entries.delete(name);
		this.#entries.set(name, entry);
		return entry;
	}

	/** Its adapter, in memory; read once however many ask. */
	async #held(entry: Entry): Promise<Adapter> {
		if (entry.adapter !== null) return entry.adapter;
		entry.reading ??= this.#read(entry);
		try {
			return await entry.reading;
		} finally {
			entry.reading = null;
		}
	}

	async #read(entry: Entry): Promise<Adapter> {
		const { name, path } = entry;
		try {
			const weights = await this.#weights(path);
			const adapter = { id: ++this.#numRead, name, weights };
			entry.adapter = adapter;
			this.#owners.set(adapter, entry);
			if (this.#entries.get(name) === entry) this.#trim();
			return adapter;
		} catch (cause) {
			if (this.#entries.get(name) === entry) this.#entries.delete(name);
			throw named(name, cause);
		}
	}

	async #weights(path: string | ModelFiles): Promise<AdapterWeights> {
		const { platform, room } = this.#options;
		const names = [ADAPTER_CONFIG, ADAPTER_TENSORS];
		const files = await findAdapter(path, names, platform);
		const json = await readJson(files, ADAPTER_CONFIG, false);
		if (json === null)
			throw new NanoVllmError(
				"adapter_not_found",
				`${files.label} has no ${ADAPTER_CONFIG}. An adapter is a folder that PEFT's save_pretrained has written.`,
			);
		return readLora(files, parseLoraConfig(json), room);
	}

	/** Lets those go that nobody uses, the one used longest ago first, until no more are kept than may be. */
	#trim(): void {
		let numHeld = this.#owners.size;
		for (const entry of this.#entries.values()) {
			if (numHeld <= this.#options.maxHeld) return;
			if (entry.adapter === null || entry.numRequests > 0) continue;
			this.#drop(entry);
			numHeld--;
		}
	}

	#drop(entry: Entry): void {
		const { adapter } = entry;
		if (adapter === null) return;
		entry.adapter = null;
		this.#owners.delete(adapter);
		this.#options.onDropped(adapter);
	}
}

function isList<T>(value: OneOrMany<T>): value is readonly T[] {
	return Array.isArray(value);
}

const labelOf = (path: string | ModelFiles): string =>
	typeof path === "string" ? path : (path?.label ?? show(path));

function unknown(name: string, names: Iterable<string>): NanoVllmError {
	const known = [...names].join(", ") || "none";
	return new NanoVllmError(
		"adapter_not_found",
		`no adapter ${show(name)} is loaded. Loaded: ${known}. Load it first, or give its path with the request.`,
	);
}

/** The same error, saying which adapter it is about; what is not there is no model here. */
function named(name: string, cause: unknown): unknown {
	if (!(cause instanceof NanoVllmError)) return cause;
	const { code, message } = cause;
	if (code !== "model_not_found")
		return new NanoVllmError(code, `adapter ${name}: ${message}`, { cause });
	return new NanoVllmError(
		"adapter_not_found",
		`adapter ${name}: ${message} An adapter is a folder that PEFT's save_pretrained has written, a URL of one, or an id of the hub.`,
		{ cause },
	);
}
