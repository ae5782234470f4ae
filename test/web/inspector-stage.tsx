/** The inspector over recorded events, sent at a pace: counts the frames a reader sees. Bundled by inspector-frames.test.ts. */
import "../../web/src/tokens.css";
import "../../web/src/base.css";
import { render } from "preact";
import type { EngineEvent } from "../../src/index.ts";
import type { Engine } from "../../web/src/engine.ts";
import { InspectorPage } from "../../web/src/inspector/inspector-page.tsx";

export interface Pace {
	/** One JSON text an event. */
	readonly url: string;
	readonly stepsPerSecond: number;
	/** Of one measurement; as long goes before the first. */
	readonly ms: number;
	/** Frames a second at which no more is measured, and the most measurements: others may want the machine. */
	readonly enough: number;
	readonly most: number;
}

export interface FrameReport {
	readonly numFrames: number;
	readonly numSteps: number;
	readonly seconds: number;
	/** Longest time from one frame to the next. */
	readonly longestMs: number;
	/** Frames a page without anything to draw gets in a second here. */
	readonly idleFramesPerSecond: number;
}

type Listener = (event: EngineEvent) => void;

/** The best of some measurements comes last. */
async function measure(pace: Pace): Promise<FrameReport[]> {
	const { url, stepsPerSecond, ms, enough, most } = pace;
	const idle = await countFrames(500);
	const lines: string[] = await (await fetch(url)).json();
	const listeners = new Set<Listener>();
	const root = document.createElement("main");
	document.body.append(root);
	render(<InspectorPage engine={stageEngine(listeners)} />, root);
	const tell = (text: string): EngineEvent => {
		// As it comes from a worker or a server: parsed on this thread.
		const event: EngineEvent = JSON.parse(text);
		for (const listener of listeners) listener(event);
		return event;
	};
	let next = 0;
	let numSteps = 0;
	const begin = performance.now();
	const timer = setInterval(() => {
		const due = ((performance.now() - begin) / 1000) * stepsPerSecond;
		while (numSteps < due)
			// From the end back to the snapshot, as after a gap.
			if (tell(lines[next++ % lines.length]).type === "step") numSteps++;
	}, 4);
	await countFrames(ms);
	const reports: FrameReport[] = [];
	const rate = ({ numFrames, seconds }: FrameReport) => numFrames / seconds;
	while (reports.length < most && !reports.some((it) => rate(it) >= enough)) {
		const before = numSteps;
		const counted = await countFrames(ms);
		reports.push({
			...counted,
			numSteps: numSteps - before,
			idleFramesPerSecond: idle.numFrames / idle.seconds,
		});
	}
	clearInterval(timer);
	return reports.sort((a, b) => rate(a) - rate(b));
}

async function countFrames(
	ms: number,
): Promise<{ numFrames: number; seconds: number; longestMs: number }> {
	const start = performance.now();
	let last = start;
	let numFrames = 0;
	let longestMs = 0;
	while (last - start < ms) {
		await new Promise(requestAnimationFrame);
		const now = performance.now();
		longestMs = Math.max(longestMs, now - last);
		last = now;
		numFrames++;
	}
	return { numFrames, seconds: (last - start) / 1000, longestMs };
}

function stageEngine(listeners: Set<Listener>): Engine {
	const unused = (): never => {
		throw new Error("the stage only shows events.");
	};
	return {
		facts: {
			place: "tab",
			modelName: "recorded",
			device: null,
			deviceReason: null,
			maxModelLen: 1024,
			hasChatTemplate: false,
			canPause: false,
		},
		streamChat: unused,
		streamText: unused,
		observe(listener) {
			listeners.add(listener);
			return () => listeners.delete(listener);
		},
		pause: unused,
		resume: unused,
		step: unused,
		detokenize: async (ids) => ids.join(" "),
		lost: new Promise(() => {}),
		close: async () => {},
	};
}

Object.assign(globalThis, { measure });
