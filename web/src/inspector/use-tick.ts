/** Text beside pictures is written anew a few times a second, however often the engine steps. */
import { useEffect, useState } from "preact/hooks";
import { throttle } from "./throttle.ts";

export const TICK_MS = 150;

/** Renders the component again when `subscribe` says that something changed: at once, and then at most every TICK_MS. */
export function useTick(subscribe: (changed: () => void) => () => void): void {
	const [, setTick] = useState(0);
	useEffect(() => {
		const render = throttle(() => setTick((n) => n + 1), TICK_MS);
		const end = subscribe(render.call);
		// Something may have changed since it was rendered.
		render.call();
		return () => {
			end();
			render.cancel();
		};
	}, [subscribe]);
}
