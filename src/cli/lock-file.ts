/** A file beside another that says which process writes it, so that no second one does. Knows nothing of what is written. */
import { readFileSync, rmSync, statSync, utimesSync } from "node:fs";
import { open } from "node:fs/promises";
import { hostname } from "node:os";
import { NanoVllmError } from "../errors.ts";
import { codeOf, outputFailed } from "./batch-files.ts";

/** A living holder touches its lock this often. */
const TOUCH_MS = 10_000;
/** On another machine, a lock that was not touched for so long is a dead one's. */
const DEAD_AFTER_MS = 60_000;
const MAX_ATTEMPTS = 3;

/**
 * Holds PATH.lock until the function it returns is called. One that a dead process left is taken over.
 * @throws invalid_option where another process holds it, output_failed
 */
export async function lockFile(path: string): Promise<() => void> {
	const lock = `${path}.lock`;
	for (let attempt = 1; !(await create(lock)); attempt++) {
		const holder = livingHolder(lock);
		if (holder !== null || attempt === MAX_ATTEMPTS)
			throw new NanoVllmError(
				"invalid_option",
				`${path} is being written by process ${holder ?? "(unknown)"}. Let it end, or delete ${lock} if there is none.`,
			);
		rmSync(lock, { force: true });
	}
	const timer = setInterval(() => touch(lock), TOUCH_MS);
	timer.unref();
	return () => {
		clearInterval(timer);
		rmSync(lock, { force: true });
	};
}

/** @returns false where it is there already. @throws output_failed */
async function create(lock: string): Promise<boolean> {
	try {
		const handle = await open(lock, "wx");
		await handle.writeFile(`${process.pid} ${hostname()}\n`);
		await handle.close();
		return true;
	} catch (cause) {
		if (codeOf(cause) === "EEXIST") return false;
		throw outputFailed(lock, cause);
	}
}

function touch(lock: string): void {
	const now = new Date();
	try {
		utimesSync(lock, now, now);
	} catch {
		// deleted by somebody who knew better
	}
}

/** null: it is dead, or gone meanwhile. */
function livingHolder(lock: string): string | null {
	try {
		const holder = readFileSync(lock, "utf8").trim();
		const [pid, host] = holder.split(" ");
		const ageMs = Date.now() - statSync(lock).mtimeMs;
		const isOurs = host === hostname();
		const lives = isOurs ? isRunning(Number(pid)) : ageMs < DEAD_AFTER_MS;
		return lives ? holder : null;
	} catch {
		return null;
	}
}

/** Our own id in a lock that we did not make was another's: containers count from 1 each time. */
function isRunning(pid: number): boolean {
	if (pid === process.pid) return false;
	try {
		process.kill(pid, 0);
		return true;
	} catch (cause) {
		return codeOf(cause) === "EPERM";
	}
}
