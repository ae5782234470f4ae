/** Text beside pictures is written anew a few times a second, however often the engine steps. */
import { useEffect, useState } from "preact/hooks";

const TICK_MS = 150;

/** Renders the component again when `subscribe` says that something changed: at once, and then at most every TICK_MS. */
export function useTick(subscribe: (changed: () => void) => () => void): void {
	const [, setTick] = useState(0);
	useEffect(() => {
		let timer: ReturnType<typeof setTimeout> | null = null;
		let lastMs = 0;
		const render = () => {
			timer = null;
			lastMs = performance.now();
			setTick((n) => n + 1);
		};
		const end = subscribe(() => {
			const sinceMs = performance.now() - lastMs;
			timer ??= setTimeout(render, Math.max(0, TICK_MS - sinceMs));
		});
		// Something may have changed since it was rendered.
		timer ??= setTimeout(render);
		return () => {
			if (timer !== null) clearTimeout(timer);
			end();
		};
	}, [subscribe]);
}
