/** The platform of Node and its kin (Bun, Deno). The only file that names node: modules. Knows nothing of what files mean. */
import {
	type FileHandle,
	open,
	readdir,
	readFile,
	stat,
} from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import { resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { compileFunction } from "node:vm";
import { Worker } from "node:worker_threads";
import { NanoVllmError } from "../errors.ts";
import {
	allocateBytes,
	bytes,
	checkInside,
	checkSpan,
	checkTextSize,
	decodeText,
	grouped,
	type ModelFiles,
	maxTextBytes,
	type RandomAccessFile,
	throwIfAborted,
} from "../weights/source.ts";
import { nodeFiles } from "./node-files.ts";
import type {
	MachineMemory,
	Platform,
	WorkerHandle,
	WorkerModule,
} from "./platform.ts";

/** One read(2) moves at most 2 GiB - 4 KiB on Linux, and Node refuses more than 2 GiB - 1. */
const maxReadBytes = 1024 * 1024 * 1024;

export const platform: Platform = {
	name: "node",
	hardwareConcurrency: availableParallelism(),
	localFiles,
	isDirectory,
	environment: process.env,
	files: nodeFiles,
	memory,
	yieldToEventLoop: () => new Promise((done) => setImmediate(done)),
	peakRssBytes: () => process.resourceUsage().maxRSS * 1024,
	spawnWorker,
	enableWasmRevectorize,
	gpu,
	xgrammar,
	randomSeed: () => crypto.getRandomValues(new Uint32Array(1))[0],
	now: () => performance.now(),
};

async function isDirectory(path: string): Promise<boolean> {
	try {
		return (await stat(path)).isDirectory();
	} catch {
		return false;
	}
}

/** Links inside the folder are followed, wherever they lead: Hugging Face's cache is made of them. */
async function localFiles(path: string): Promise<ModelFiles> {
	const folder = resolve(path);
	if (!(await isDirectory(folder))) throw notADirectory(folder);
	const pathOf = (name: string): string => {
		checkInside(folder, name);
		return resolve(folder, name);
	};
	return {
		label: folder,
		async list() {
			const entries = await readdir(folder, { withFileTypes: true });
			return entries
				.filter((entry) => !entry.isDirectory())
				.map((entry) => entry.name)
				.sort();
		},
		async readText(name, maxBytes = maxTextBytes) {
			const file = await openFile(name, pathOf(name));
			if (file === null) return null;
			try {
				checkTextSize(name, file.size, maxBytes);
				return decodeText(name, await file.read(0, file.size));
			} finally {
				await file.close();
			}
		},
		open: async (name) => openFile(name, pathOf(name)),
	};
}

function notADirectory(folder: string): NanoVllmError {
	return new NanoVllmError(
		"model_not_found",
		`${folder}: wanted a directory with config.json and *.safetensors, found none. Check the path, or download the model there first.`,
	);
}

async function openFile(
	name: string,
	path: string,
): Promise<RandomAccessFile | null> {
	let handle: FileHandle | undefined;
	try {
		handle = await open(path, "r");
		const stats = await handle.stat();
		if (stats.isFile()) return nodeFile(name, handle, stats.size);
		await handle.close();
		return null;
	} catch (cause) {
		await handle?.close();
		const { code } = cause as NodeJS.ErrnoException;
		if (code === "ENOENT" || code === "ENOTDIR") return null;
		throw new NanoVllmError(
			"model_not_found",
			`${path}: could not be opened (${code ?? cause}). Check that this user may read it.`,
			{ cause },
		);
	}
}

function nodeFile(
	name: string,
	handle: FileHandle,
	size: number,
): RandomAccessFile {
	return {
		name,
		size,
		async read(offset, length, signal) {
			checkSpan(name, size, offset, length);
			const out = allocateBytes(name, length);
			for (let filled = 0; filled < length; ) {
				throwIfAborted(signal, name);
				const want = Math.min(length - filled, maxReadBytes);
				const got = await readOnce(name, handle, out, filled, want, offset);
				if (got === 0) throw shrunk(name, size, offset + filled);
				filled += got;
			}
			throwIfAborted(signal, name);
			return out;
		},
		close: () => handle.close(),
	};
}

/** Fills out[filled, filled + want) from the file at `offset + filled`; may give less. */
async function readOnce(
	name: string,
	handle: FileHandle,
	out: Uint8Array,
	filled: number,
	want: number,
	offset: number,
): Promise<number> {
	try {
		const result = await handle.read(out, filled, want, offset + filled);
		return result.bytesRead;
	} catch (cause) {
		throw new NanoVllmError(
			"invalid_weights",
			`${name}: wanted ${bytes(want)} at ${grouped(offset + filled)}, the system said ${(cause as NodeJS.ErrnoException).code ?? cause}. Check the disk, then load again.`,
			{ cause },
		);
	}
}

function shrunk(name: string, size: number, end: number): NanoVllmError {
	return new NanoVllmError(
		"invalid_weights",
		`${name}: had ${bytes(size)} when opened, now ends at ${grouped(end)}. Something rewrote it meanwhile; load again when that is done.`,
	);
}

/** A container may be given less than the machine has. */
function memory(): MachineMemory {
	const limit = process.constrainedMemory();
	const totalBytes = Math.min(totalmem(), limit > 0 ? limit : Infinity);
	return {
		totalBytes,
		availableBytes: Math.min(process.availableMemory(), totalBytes),
	};
}

function spawnWorker({ url }: WorkerModule, data: unknown): WorkerHandle {
	const worker = new Worker(url);
	let asked = false;
	worker.postMessage(data);
	return {
		postMessage: (message) => worker.postMessage(message),
		onMessage: (listener) => worker.on("message", listener),
		onError(listener) {
			worker.once("error", listener);
			worker.once("exit", (code) => {
				if (!asked) listener(new Error(`a worker ended with code ${code}`));
			});
		},
		setReferenced(on) {
			if (on) worker.ref();
			else if (!asked) worker.unref(); // its end is awaited: the process must not leave before it
		},
		async terminate() {
			asked = true;
			await worker.terminate();
		},
	};
}

/** First V8 whose revectorizer can be trusted with more than toys: Node 24's. */
const REVECTORIZE_V8 = 13.6;

/** V8 compiles pairs of 128-bit operations as one of 256 bits (x64 only, behind a flag). */
function enableWasmRevectorize(on: boolean): boolean {
	if (process.arch !== "x64") return false;
	if (Number.parseFloat(process.versions.v8 ?? "0") < REVECTORIZE_V8)
		return false;
	setFlagsFromString(
		on
			? "--experimental-wasm-revectorize"
			: "--no-experimental-wasm-revectorize",
	);
	return true;
}

/**
 * Dawn's switches. The first two uncover what drivers have but the specification has not settled (matrices over subgroups, halves
 * on NVIDIA); the others drop checks that our kernels do not need: they index within their arrays and write before they read.
 */
const DAWN_TOGGLES = [
	"allow_unsafe_apis",
	"vulkan_enable_f16_on_nvidia",
	"disable_robustness",
	"disable_workgroup_init",
];

let dawn: Promise<GPU | null> | null = null;

/** Dawn, where the optional package `webgpu` is installed. Kept for the life of the process: it must outlive its devices. */
function gpu(): Promise<GPU | null> {
	dawn ??= hasVulkan()
		? import("webgpu").then(
				({ create }) => create([`enable-dawn-features=${DAWN_TOGGLES.join()}`]),
				() => null,
			)
		: Promise.resolve(null);
	return dawn;
}

/** Dawn complains on stderr where Linux has no Vulkan loader. A library that is there, but is no addon, fails otherwise. */
function hasVulkan(): boolean {
	if (process.platform !== "linux") return true;
	try {
		process.dlopen({ exports: {} }, "libvulkan.so.1");
		return true;
	} catch (error) {
		return !String(error).includes("cannot open shared object file");
	}
}

/**
 * The package is a script for browsers and CommonJS that calls itself an ES module, so that Node can neither import nor require
 * it. It is run as what it is; without `process` in sight it takes a browser's way, which needs nothing but WebAssembly.
 */
async function xgrammar(): Promise<unknown> {
	let url: string;
	try {
		url = import.meta.resolve("@mlc-ai/web-xgrammar");
	} catch {
		return null;
	}
	const source = await readFile(new URL(url), "utf8").catch(() => null);
	if (source === null) return null;
	const names = ["exports", "module", "process", "location"];
	const run = compileFunction(source, names, { filename: url });
	const module = { exports: {} };
	run(module.exports, module, undefined, { href: url });
	return module.exports;
}
