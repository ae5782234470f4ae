/** Text beside pictures is written anew a few times a second, however often the engine steps. */
import { useEffect, useState } from "preact/hooks";

const TICK_MS = 150;

/** Renders the component again when `subscribe` says that something changed, at most every TICK_MS. */
export function useTick(subscribe: (changed: () => void) => () => void): void {
	const [, setTick] = useState(0);
	useEffect(() => {
		let timer: ReturnType<typeof setTimeout> | null = null;
		const render = () => {
			timer = null;
			setTick((n) => n + 1);
		};
		const end = subscribe(() => {
			timer ??= setTimeout(render, TICK_MS);
		});
		// Something may have changed since it was rendered.
		timer ??= setTimeout(render);
		return () => {
			if (timer !== null) clearTimeout(timer);
			end();
		};
	}, [subscribe]);
}
