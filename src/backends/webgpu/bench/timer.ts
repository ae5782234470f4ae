/**
 * How long a kernel takes: many runs in one pass, by the device's clock where it has one. A device that rests lowers its clocks, and
 * takes some hundred milliseconds of work to raise them again, so that every figure has its own warm-up.
 */
import type { Gpu } from "../device.ts";
import { createTimingRecorder, openPass } from "../recorder.ts";

/** Encodes the work measured once more; `round` counts from 0 in every pass. */
export type EncodeRound = (pass: GPUComputePassEncoder, round: number) => void;

const SAMPLES = 5;
/** Work before the first sample, in samples: half a second with samples as long as they are by default. */
const WARM_SAMPLES = 5;
/** Of one pass: what a host encodes in a few milliseconds. */
const MOST_ROUNDS = 8192;

/** @returns milliseconds of one round, the least of a few samples. @throws device_lost, backend_failed */
export async function bestMs(
	gpu: Gpu,
	encode: EncodeRound,
	sampleMs: number,
): Promise<number> {
	const warm = performance.now() + WARM_SAMPLES * sampleMs;
	let best: number;
	do best = await measureMs(gpu, encode, sampleMs);
	while (performance.now() < warm);
	return best;
}

/** As `bestMs`, for a device that is already at work. */
export async function measureMs(
	gpu: Gpu,
	encode: EncodeRound,
	sampleMs: number,
): Promise<number> {
	let rounds = 1;
	for (;;) {
		const ms = await measure(gpu, encode, rounds);
		const fitting = Math.floor((rounds * sampleMs) / Math.max(ms, 1e-3));
		const wanted = Math.max(1, Math.min(MOST_ROUNDS, 8 * rounds, fitting));
		if (wanted < 2 * rounds) break;
		rounds = wanted;
	}
	let best = Number.POSITIVE_INFINITY;
	for (let i = 0; i < SAMPLES; i++)
		best = Math.min(best, (await measure(gpu, encode, rounds)) / rounds);
	return best;
}

/** @returns milliseconds of all rounds */
async function measure(
	gpu: Gpu,
	encodeRound: EncodeRound,
	rounds: number,
): Promise<number> {
	const { device } = gpu;
	let told: (ms: number) => void = () => {};
	const onClock = new Promise<number>((resolve) => {
		told = resolve;
	});
	const open = gpu.timestamps
		? createTimingRecorder(gpu, {
				of: "steps",
				onTimes: ([{ startNs, endNs }]) => told((endNs - startNs) / 1e6),
			})
		: openPass;
	const encoder = device.createCommandEncoder();
	const recorder = open(encoder);
	const pass = recorder.pass("rounds");
	for (let round = 0; round < rounds; round++) encodeRound(pass, round);
	recorder.end();
	const commands = encoder.finish();
	const start = performance.now();
	device.queue.submit([commands]);
	recorder.submitted();
	await device.queue.onSubmittedWorkDone();
	gpu.check();
	const ms = performance.now() - start;
	return gpu.timestamps ? Promise.race([onClock, failure(gpu)]) : ms;
}

async function failure({ failed }: Gpu): Promise<never> {
	throw await failed;
}
