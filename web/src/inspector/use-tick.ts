/** Text beside pictures is written anew a few times a second, however often the engine steps. */
import { useEffect, useState } from "preact/hooks";

const TICK_MS = 150;

/** Renders the component again when `subscribe` says that something changed, at most every TICK_MS. */
export function useTick(subscribe: (changed: () => void) => () => void): void {
	const [, setTick] = useState(0);
	useEffect(() => {
		let timer: ReturnType<typeof setTimeout> | null = null;
		const end = subscribe(() => {
			timer ??= setTimeout(() => {
				timer = null;
				setTick((n) => n + 1);
			}, TICK_MS);
		});
		return () => {
			if (timer !== null) clearTimeout(timer);
			end();
		};
	}, [subscribe]);
}
