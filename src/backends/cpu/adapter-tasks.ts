/** The tasks of adapters: where each slot's matrices stand, how they are written there, and what is done around them. */
import type { AdapterWeights, LowRank } from "../backend.ts";
import type { AdapterSlots, Op } from "../program.ts";
import type { Arena } from "./arena.ts";
import { GATING } from "./kernels.ts";
import type { Places } from "./places.ts";
import type {
	AddRowsTask,
	GateTask,
	LoraTarget,
	LoraTask,
	Plan,
} from "./plan.ts";

type OpOf<Name extends Op["op"]> = Extract<Op, { op: Name }>;

/** Ranks are filled up to whole quads, columns to whole panels. */
const QUAD = 4;
const PANEL = 16;

export function gateTask(op: OpOf<"gate">, places: Places): GateTask {
	return {
		kind: "gate",
		input: places.buffer(op.input),
		gating: GATING[op.activation],
		output: places.buffer(op.output),
		width: op.output.width,
	};
}

export function normAddTask(op: OpOf<"normAdd">, places: Places): AddRowsTask {
	return {
		kind: "addRows",
		input: places.buffer(op.input),
		width: op.input.width,
		norm: places.vector(op.norm.weight),
		eps: op.norm.eps,
		scale: op.scale,
		residual: places.buffer(op.residual),
	};
}

export function loraTask(
	op: OpOf<"lora">,
	places: Places,
	arena: Arena,
	slots: AdapterSlots,
): LoraTask {
	const { input, norm, output } = op;
	const { width } = input;
	const numTargets = op.targets.length;
	const quadsPerTarget = Math.ceil(slots.maxRank / QUAD);
	const rank = quadsPerTarget * QUAD;
	const buffer = (name: string, width: number) =>
		places.buffer({ name: `${name} of ${width}`, rows: "T", width });
	let numPanels = 0;
	const targets = op.targets.map(({ name, rows, firstRow }): LoraTarget => {
		const firstPanel = numPanels;
		numPanels += Math.ceil(rows / PANEL);
		return { name, firstRow, columns: rows, firstPanel, endPanel: numPanels };
	});
	const panelBytes = rank * PANEL * 4;
	const aBytes = numTargets * rank * width * 4;
	const bBytes = numPanels * panelBytes;
	return {
		kind: "lora",
		input: places.buffer(input),
		width,
		norm: places.vector(norm?.weight ?? null),
		eps: norm?.eps ?? 0,
		normed: norm === null ? 0 : buffer("rows for adapters", width),
		small: buffer("adapters' rows", numTargets * rank),
		smallBytes: numTargets * rank * 4,
		quadsPerTarget,
		a: arena.take(slots.numSlots * aBytes),
		aBytes,
		b: arena.take(slots.numSlots * bBytes),
		bBytes,
		panelBytes,
		numPanels,
		ranks: arena.take(slots.numSlots * numTargets * 4),
		numSlots: slots.numSlots,
		targets,
		scale: op.scale,
		output: places.buffer(output),
		outputBytes: output.width * 4,
	};
}

/** Every target of the slot anew; those the adapter leaves alone get rank 0. No step may be under way. */
export function writeAdapterSlot(
	{ tasks }: Plan,
	memory: ArrayBufferLike,
	slot: number,
	adapter: AdapterWeights,
): void {
	for (const task of tasks) {
		if (task.kind !== "lora") continue;
		const numTargets = task.targets.length;
		const ranks = task.ranks + slot * numTargets * 4;
		const rankTable = new Int32Array(memory, ranks, numTargets);
		for (const [i, target] of task.targets.entries()) {
			const matrices = adapter.targets.get(target.name);
			rankTable[i] = matrices?.rank ?? 0;
			if (matrices !== undefined) writeTarget(task, i, memory, slot, matrices);
		}
	}
}

/** a: [quad][k][4]; b: [panel][r][16]. What fills up is zero. */
function writeTarget(
	task: LoraTask,
	index: number,
	memory: ArrayBufferLike,
	slot: number,
	{ rank, a, b }: LowRank,
): void {
	const { width, quadsPerTarget, panelBytes, targets } = task;
	const { columns, firstPanel, endPanel } = targets[index];
	const quads = quadsPerTarget * QUAD * width;
	const aAt = task.a + slot * task.aBytes + index * quads * 4;
	const aTo = new Float32Array(memory, aAt, quads).fill(0);
	for (let r = 0; r < rank; r++) {
		const quad = (r - (r % QUAD)) * width + (r % QUAD);
		for (let k = 0; k < width; k++) aTo[quad + k * QUAD] = a[r * width + k];
	}
	const bAt = task.b + slot * task.bBytes + firstPanel * panelBytes;
	const bLength = ((endPanel - firstPanel) * panelBytes) / 4;
	const bTo = new Float32Array(memory, bAt, bLength).fill(0);
	for (let c = 0; c < columns; c++) {
		const panel = Math.floor(c / PANEL) * (panelBytes / 4) + (c % PANEL);
		for (let r = 0; r < rank; r++) bTo[panel + r * PANEL] = b[c * rank + r];
	}
}
