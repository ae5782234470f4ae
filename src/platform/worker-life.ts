/**
 * Tells a page that a worker is gone. Browsers say nothing when a worker ends itself or is killed for want of memory; but a lock
 * it holds is then given to who waits for it.
 */

/** Node says it itself. */
const isNode = typeof process !== "undefined" && !!process.versions?.node;

const locks = (): LockManager | undefined =>
	isNode ? undefined : globalThis.navigator?.locks;

/** In the worker: the name of a lock that it holds until it ends; null where there are no locks (no secure context). */
export async function holdLife(): Promise<string | null> {
	const name = `nano-vllm worker ${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
	const manager = locks();
	if (manager === undefined) return null;
	const held = Promise.withResolvers<void>();
	const forever = new Promise<never>(() => {});
	manager
		.request(name, () => {
			held.resolve();
			return forever;
		})
		.catch(held.reject);
	return held.promise.then(
		() => name,
		() => null,
	);
}

/** In its owner: calls `onGone` when the worker that held the lock is no more, unless `signal` aborts before. */
export function watchLife(
	name: string,
	signal: AbortSignal,
	onGone: () => void,
): void {
	locks()
		?.request(name, { signal }, onGone)
		.catch(() => {}); // aborted: its owner ended it
}
