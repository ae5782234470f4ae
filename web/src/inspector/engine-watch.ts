/**
 * The one watch of an engine: begun when a page first asks, and kept while the reader is elsewhere. Whoever wants the events follows it,
 * so that they come once: a browser keeps few connections to a server.
 */
import type { Engine } from "../engine.ts";
import { Watch } from "./watch.ts";

const watches = new WeakMap<Engine, Watch>();

export function watchOf(engine: Engine): Watch {
	const known = watches.get(engine);
	if (known !== undefined) return known;
	const watch = new Watch();
	watches.set(engine, watch);
	engine.observe(
		(event) => watch.push(event),
		(reason) => watch.end(reason),
	);
	return watch;
}
