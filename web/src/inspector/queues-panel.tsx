/** Who waits and who runs. */
import { useMemo, useState } from "preact/hooks";
import { Canvas } from "./canvas.tsx";
import { Legend, QUEUES_LEGEND } from "./legend.tsx";
import { count } from "./numbers.ts";
import { entryAt, queuePicture } from "./queue-picture.ts";
import { useSlowly } from "./use-slowly.ts";
import { useTick } from "./use-tick.ts";
import { queueView, sequenceWords } from "./views.ts";
import type { Watch } from "./watch.ts";

const HEIGHT = 80;

export function QueuesPanel({ watch }: { readonly watch: Watch }) {
	return (
		<section class="panel" aria-label="Queues">
			<h2>Queues</h2>
			<p class="explain">
				Who runs has blocks and takes part in steps. Who waits has none: it
				comes in, in order, as soon as a lane, budget and blocks are free.
			</p>
			<Queue watch={watch} kind="running" title="Running" />
			<Queue watch={watch} kind="waiting" title="Waiting" />
			<QueueWords watch={watch} />
			<Legend items={QUEUES_LEGEND} />
		</section>
	);
}

function Queue({
	watch,
	kind,
	title,
}: {
	readonly watch: Watch;
	readonly kind: "running" | "waiting";
	readonly title: string;
}) {
	const [width, setWidth] = useState(0);
	const view = useMemo(() => () => queueView(watch, kind), [watch, kind]);
	const picture = useMemo(() => queuePicture(view), [view]);
	const slowly = useSlowly(watch.subscribe);
	return (
		<div>
			<QueueTitle watch={watch} kind={kind} title={title} />
			<Canvas
				picture={picture}
				frames={watch.frames}
				subscribe={slowly}
				height={HEIGHT}
				label={`${title} sequences. Left and right move from one to the next, Escape leaves.`}
				onWidth={setWidth}
				onPoint={(x) => watch.point(entryAt(view(), width, x))}
				onLeave={() => watch.point(null)}
				onKey={(event) => {
					const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
					if (event.key === "Escape") watch.point(null);
					else if (by !== undefined) pointInQueue(watch, kind, by);
					else return;
					event.preventDefault();
				}}
			/>
		</div>
	);
}

function pointInQueue(
	watch: Watch,
	kind: "running" | "waiting",
	by: number,
): void {
	const { entries } = queueView(watch, kind);
	const at = entries.findIndex(({ arrival }) => arrival === watch.pointed);
	const to = at < 0 ? 0 : Math.max(0, Math.min(entries.length - 1, at + by));
	watch.point(entries[to]?.arrival ?? null);
}

function QueueTitle({
	watch,
	kind,
	title,
}: {
	readonly watch: Watch;
	readonly kind: "running" | "waiting";
	readonly title: string;
}) {
	useTick(watch.subscribe);
	const { entries, numMore } = queueView(watch, kind);
	return (
		<p class="moment">
			{title}: {count(entries.length + numMore)}
			{numMore > 0 && `, the first ${count(entries.length)} drawn`}
		</p>
	);
}

function QueueWords({ watch }: { readonly watch: Watch }) {
	useTick(watch.subscribe);
	return (
		<p class="live-line" aria-live="polite">
			{watch.pointed === null
				? "Point at a sequence to see it everywhere."
				: sequenceWords(watch, watch.pointed)}
		</p>
	);
}
