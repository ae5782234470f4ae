/** For pictures that change a little with every step: painted a few times a second, which leaves the frames to the others. */
import { useCallback } from "preact/hooks";
import { throttle } from "./throttle.ts";
import { TICK_MS } from "./use-tick.ts";

type Subscribe = (changed: () => void) => () => void;

/** The same subscription, which calls back at once, and then at most every TICK_MS. */
export function useSlowly(subscribe: Subscribe): Subscribe {
	return useCallback(
		(changed) => {
			const slow = throttle(changed, TICK_MS);
			const end = subscribe(slow.call);
			return () => {
				end();
				slow.cancel();
			};
		},
		[subscribe],
	);
}
