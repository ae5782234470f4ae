/** The tasks of a program, op by op, and the rooms that only tasks know of. Knows no weights' values and no threads. */
import { assert } from "../../errors.ts";
import type { Limits } from "../backend.ts";
import type { Norm, Op, Program } from "../program.ts";
import { gateTask, loraTask, normAddTask } from "./adapter-tasks.ts";
import type { Arena } from "./arena.ts";
import { expertsTask, placeRouting } from "./expert-tasks.ts";
import { FORMATS } from "./format.ts";
import { linearAddTasks, linearTask } from "./linear-tasks.ts";
import { type Places, ROWS_PER_TILE } from "./places.ts";
import type {
	AttentionTask,
	HeadNorm,
	LinearTask,
	RopeAndCacheTask,
	Task,
} from "./plan.ts";

type OpOf<Name extends Op["op"]> = Extract<Op, { op: Name }>;

/** Where a layer's cache lies is known once all else has its place. */
export interface CacheTask {
	readonly task: { cache: number };
	readonly layer: number;
}

export interface Tasks {
	readonly tasks: readonly Task[];
	readonly cacheTasks: readonly CacheTask[];
}

/** @param blockBytes of each layer */
export function makeTasks(
	program: Program,
	places: Places,
	arena: Arena,
	limits: Limits,
	blockBytes: readonly number[],
): Tasks {
	const tasks: Task[] = [];
	const cacheTasks: CacheTask[] = [];
	const routing = placeRouting(program, arena, limits);
	let logits: { linear: LinearTask; softCap: number } | null = null;
	for (const op of program.ops) {
		switch (op.op) {
			case "embed":
				tasks.push(embedTask(op, places));
				break;
			case "normLinear":
			case "normGatedLinear":
				tasks.push(linearTask(op, places));
				break;
			case "linearAdd":
				tasks.push(...linearAddTasks(op, places));
				break;
			case "ropeAndCache":
			case "attention": {
				const bytes = blockBytes[op.layer];
				const task =
					op.op === "attention"
						? attentionTask(op, places, bytes)
						: ropeAndCacheTask(op, places, bytes);
				tasks.push(task);
				cacheTasks.push({ task, layer: op.layer });
				break;
			}
			case "gate":
				tasks.push(gateTask(op, places));
				break;
			case "normAdd":
				tasks.push(normAddTask(op, places));
				break;
			case "lora":
				assert(program.adapters, "a program with lora ops has slots");
				tasks.push(loraTask(op, places, arena, program.adapters));
				break;
			case "mixtureOfExperts":
				tasks.push(expertsTask(op, places, limits, routing));
				break;
			case "logits":
				logits = { linear: linearTask(op, places), softCap: op.softCap ?? 0 };
				break;
			case "sample":
				if (logits === null)
					throw new Error("nano-vllm bug: a program makes logits first");
				tasks.push({
					kind: "sample",
					...logits,
					rowsPerTile: ROWS_PER_TILE,
					vocabSize: program.vocabSize,
				});
				break;
			default:
				op satisfies never;
		}
	}
	return { tasks, cacheTasks };
}

function embedTask(op: OpOf<"embed">, places: Places): Task {
	const table = places.matrix(op.weight, op);
	return {
		kind: "embed",
		format: FORMATS[table.format].id,
		table: table.address,
		panelBytes: table.panelBytes,
		depth: table.depth,
		scale: op.scale,
		output: places.buffer(op.output),
		width: table.columns,
	};
}

function ropeAndCacheTask(
	op: OpOf<"ropeAndCache">,
	places: Places,
	blockBytes: number,
): RopeAndCacheTask {
	const { headDim } = op.heads;
	const headNorm = (norm: Norm | null): HeadNorm => ({
		norm: places.vector(norm?.weight ?? null),
		eps: norm?.eps ?? 0,
		all: norm !== null && norm.weight.shape[0] !== headDim,
	});
	return {
		kind: "ropeAndCache",
		qkv: places.buffer(op.qkv),
		width: op.qkv.width,
		...op.heads,
		qNorm: headNorm(op.qNorm),
		kNorm: headNorm(op.kNorm),
		cosSin: op.rope === null ? 0 : places.ropeTable(op.rope),
		numFrequencies: op.rope?.inverseFrequencies.length ?? 0,
		cache: 0,
		blockBytes,
	};
}

function attentionTask(
	op: OpOf<"attention">,
	places: Places,
	blockBytes: number,
): AttentionTask {
	return {
		kind: "attention",
		qkv: places.buffer(op.qkv),
		width: op.qkv.width,
		...op.heads,
		scale: op.scale,
		window: op.slidingWindow ?? 0,
		softCap: op.softCap ?? 0,
		sinks: places.vector(op.sinks),
		cache: 0,
		blockBytes,
		output: places.buffer(op.output),
	};
}
