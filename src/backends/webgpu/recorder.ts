/**
 * What a step is encoded into: one compute pass, or, where somebody wants times, passes with timestamps around them. One pass for
 * the step shows how long the GPU rests between steps; one for every dispatch shows where the time of a step goes.
 */
import { type Gpu, MAP_MODE, USAGE } from "./device.ts";

export interface Recorder {
	/** The pass a dispatch called `label` goes into; valid until the next call. */
	pass(label: string): GPUComputePassEncoder;
	/** No more dispatches. */
	end(): void;
	/** To be called once the step is submitted. */
	submitted(): void;
}

export interface PassTime {
	readonly label: string;
	/** On the GPU's clock. */
	readonly startNs: number;
	readonly endNs: number;
}

export interface Timing {
	readonly of: "steps" | "dispatches";
	/** Called for every step, some time after it. */
	readonly onTimes: (times: readonly PassTime[]) => void;
}

export type OpenRecorder = (encoder: GPUCommandEncoder) => Recorder;

/** One pass and no times. */
export const openPass: OpenRecorder = (encoder) => {
	const pass = encoder.beginComputePass();
	return { pass: () => pass, end: () => pass.end(), submitted() {} };
};

/** Queries a step may use: a start and an end for each pass. */
const QUERIES = 4096;

/** Needs `gpu.timestamps`. Times of a step are read while the next ones run. */
export function createTimingRecorder(
	{ device }: Gpu,
	{ of, onTimes }: Timing,
): OpenRecorder {
	return (encoder) => {
		const querySet = device.createQuerySet({
			type: "timestamp",
			count: of === "steps" ? 2 : QUERIES,
		});
		const labels: string[] = [];
		let current: GPUComputePassEncoder | null = null;
		const begin = (label: string) => {
			current?.end();
			const index = 2 * labels.length;
			labels.push(label);
			current = encoder.beginComputePass({
				timestampWrites: {
					querySet,
					beginningOfPassWriteIndex: index,
					endOfPassWriteIndex: index + 1,
				},
			});
			return current;
		};
		const bytes = () => 16 * labels.length;
		let staging: GPUBuffer | null = null;
		let resolved: GPUBuffer | null = null;
		return {
			pass(label) {
				if (of === "steps" && current !== null) return current;
				return begin(of === "steps" ? "step" : label);
			},
			end() {
				current?.end();
				if (labels.length === 0) return;
				resolved = device.createBuffer({
					size: bytes(),
					usage: USAGE.QUERY_RESOLVE | USAGE.COPY_SRC,
				});
				staging = device.createBuffer({
					size: bytes(),
					usage: USAGE.MAP_READ | USAGE.COPY_DST,
				});
				encoder.resolveQuerySet(querySet, 0, 2 * labels.length, resolved, 0);
				encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes());
			},
			submitted() {
				const buffer = staging;
				buffer?.mapAsync(MAP_MODE.READ).then(
					() => {
						const ns = new BigUint64Array(buffer.getMappedRange());
						const times = labels.map((label, i) => ({
							label,
							startNs: Number(ns[2 * i]),
							endNs: Number(ns[2 * i + 1]),
						}));
						buffer.destroy();
						resolved?.destroy();
						querySet.destroy();
						onTimes(times);
					},
					() => {}, // the device is gone, and says so elsewhere
				);
			},
		};
	};
}
