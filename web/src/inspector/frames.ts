/** Calls painters at most once a frame, and only those that asked. Knows no canvas. */

export interface Frames {
	/** Paints in the next frame. The same painter asked for twice is called once. */
	ask(painter: () => void): void;
	forget(painter: () => void): void;
}

/** @param request as requestAnimationFrame */
export function createFrames(request: (call: () => void) => unknown): Frames {
	const asked = new Set<() => void>();
	let isDue = false;
	const paint = () => {
		isDue = false;
		const painters = [...asked];
		asked.clear();
		for (const painter of painters) painter();
	};
	return {
		ask(painter) {
			asked.add(painter);
			if (isDue) return;
			isDue = true;
			request(paint);
		},
		forget: (painter) => void asked.delete(painter),
	};
}
