/** What the device does at most: a kernel that only reads, one that only multiplies and adds, and the engine's own largest product. */
import type { Ceilings } from "../../kernel-bench.ts";
import type { Kernel } from "../kernel.ts";
import { each, range } from "../wgsl.ts";
import { dispatchOf, inTurn, PEAKS, type Peak } from "./case.ts";
import { linearCase } from "./linear.ts";
import type { Room } from "./room.ts";
import { bestMs } from "./timer.ts";

const THREADS = 256;
const FOUR_WORDS = 16;

/** Far larger than any cache; a device that shares the machine's memory gets less of it. */
const READ_BYTES = { own: 2 ** 31, shared: 2 ** 28 };
/** Loads of a thread, all in flight. */
const LOADS = 16;
const GROUP_BYTES = THREADS * LOADS * FOUR_WORDS;

/** Independent vec4 sums of a thread, and how often each is added to. */
const SUMS = 8;
const STEPS = 512;
const FLOPS = 2 * 4 * SUMS * STEPS * THREADS;
/** Enough for the largest device, several times over. */
const GROUPS = { own: 16_384, shared: 256 };

/** As published figures have it. */
const PRODUCT = { tokens: 8192, rows: 4096, columns: 1024 };

export async function measureCeilings(
	room: Room,
	sampleMs: number,
): Promise<Ceilings> {
	const bytesPerSecond = await readRate(room, sampleMs);
	const { subgroupMatrix } = room.gpu.abilities;
	const kinds: Peak[] = subgroupMatrix ? ["float", "matrix"] : ["float"];
	const peaks: { name: string; flopsPerSecond: number }[] = [];
	for (const kind of kinds) {
		const rate = kind === "matrix" ? matrixRate : floatRate;
		const flopsPerSecond = await rate(room, sampleMs);
		peaks.push({ name: PEAKS[kind], flopsPerSecond });
	}
	return { bytesPerSecond, peaks };
}

export function peakRate({ peaks }: Ceilings, peak: Peak): number {
	const found = peaks.find(({ name }) => name === PEAKS[peak]);
	return (found ?? peaks[0]).flopsPerSecond;
}

async function readRate(room: Room, sampleMs: number): Promise<number> {
	const { gpu } = room;
	const wanted = gpu.hasOwnMemory ? READ_BYTES.own : READ_BYTES.shared;
	const most = Math.min(wanted, gpu.abilities.bindingBytes);
	const groups = Math.floor(most / GROUP_BYTES);
	const bytes = groups * GROUP_BYTES;
	const ms = await timeAlone(
		room,
		READ,
		() => ({ values: room.noise(bytes), result: room.zeros(4) }),
		groups,
		sampleMs,
	);
	return (1000 * bytes) / ms;
}

async function floatRate(room: Room, sampleMs: number): Promise<number> {
	const groups = room.gpu.hasOwnMemory ? GROUPS.own : GROUPS.shared;
	const result = () => ({ result: room.zeros(4) });
	const ms = await timeAlone(room, MULTIPLY_ADD, result, groups, sampleMs);
	return (1000 * groups * FLOPS) / ms;
}

async function timeAlone(
	room: Room,
	kernel: Kernel,
	buffers: () => Readonly<Record<string, GPUBuffer>>,
	groups: number,
	sampleMs: number,
): Promise<number> {
	const { gpu } = room;
	try {
		const dispatch = await gpu.guarded("what the benchmark reads", () =>
			dispatchOf(room, kernel, buffers(), [groups]),
		);
		return await bestMs(gpu, inTurn([[dispatch]]), sampleMs);
	} finally {
		room.clear();
	}
}

async function matrixRate(room: Room, sampleMs: number): Promise<number> {
	const { tokens, rows, columns } = PRODUCT;
	const shape = {
		name: "product",
		op: "normLinear",
		columns,
		rows,
		maxTokens: tokens,
		keeps8Bits: false,
	} as const;
	const work = { shape, format: "f16", numTokens: tokens } as const;
	const product = linearCase(work, room.gpu.abilities);
	if (product === null) throw new Error("nano-vllm bug: no f16 product");
	try {
		const open = () => product.open(room);
		const { encode } = await room.gpu.guarded("the benchmark", open);
		const ms = await bestMs(room.gpu, encode, sampleMs);
		return (1000 * 2 * product.macs) / ms;
	} finally {
		room.clear();
	}
}

/** Reads GROUP_BYTES a workgroup; what it writes depends on all of them, and is never written. */
const READ: Kernel = {
	label: "bench_read",
	bindings: [
		["values", "read", "array<vec4<u32>>"],
		["result", "write", "array<u32>"],
	],
	code: `@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let at = group.x * ${THREADS * LOADS}u + thread;
${each(LOADS, (i) => `  let v${i} = values[at + ${i * THREADS}u];`)}
  let all = ${range(LOADS)
		.map((i) => `v${i}`)
		.join(" ^ ")};
  if (all.x == 0x12345678u && all.y == 0x9abcdef0u && all.z == 0x0fedcba9u && all.w == 0x87654321u) { result[0] = 1u; }
}`,
};

/** SUMS chains of STEPS multiply-adds each. The factors are read, so that no compiler knows where they lead. */
const MULTIPLY_ADD: Kernel = {
	label: "bench_multiply_add",
	bindings: [["result", "write", "array<f32>"]],
	code: `@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let factor = vec4<f32>(result[0] + 0.5);
  let term = vec4<f32>(f32(id.x & 7u));
${each(SUMS, (i) => `  var s${i} = vec4<f32>(${i}.0) + term;`)}
  for (var step = 0u; step < ${STEPS}u; step++) {
${each(SUMS, (i) => `    s${i} = fma(s${i}, factor, term);`)}
  }
  let all = ${range(SUMS)
		.map((i) => `s${i}`)
		.join(" + ")};
  if (all.x + all.y + all.z + all.w == -1.0) { result[0] = 1.0; }
}`,
};
