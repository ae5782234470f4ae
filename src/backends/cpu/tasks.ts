/** The tasks of a program, op by op, and the rooms that only tasks know of. Knows no weights' values and no threads. */
import type { Limits } from "../backend.ts";
import type { Activation, Norm, Op, Program, Weight } from "../program.ts";
import type { Arena } from "./arena.ts";
import { FORMATS, groupBytes, PANEL_COLUMNS } from "./format.ts";
import { GATING } from "./kernels.ts";
import { type Places, ROWS_PER_TILE } from "./places.ts";
import type {
	AttentionTask,
	ExpertPanels,
	ExpertsTask,
	HeadNorm,
	LinearTask,
	RopeAndCacheTask,
	RoutingPlaces,
	Task,
} from "./plan.ts";

type OpOf<Name extends Op["op"]> = Extract<Op, { op: Name }>;

/** Tokens a mixture of experts takes at a time: enough to meet each expert's weights often, few enough to take little room. */
const EXPERT_TOKENS = 1024;

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

interface LinearParts {
	readonly mode: LinearTask["mode"];
	readonly input: Activation;
	readonly norm: Norm | null;
	readonly weight: Weight;
	readonly bias: Weight | null;
	readonly scale?: number;
	readonly gating?: number;
	/** An address where it is no activation of the program. */
	readonly output: Activation | number;
}

function linear(op: Op, parts: LinearParts, places: Places): LinearTask {
	const { mode, input, norm, weight, output } = parts;
	return {
		kind: "linear",
		mode,
		...panelsOf(places, op, weight, parts.bias),
		input: places.buffer(input),
		width: weight.shape[1],
		norm: places.vector(norm?.weight ?? null),
		eps: norm?.eps ?? 0,
		scale: parts.scale ?? 1,
		gating: parts.gating ?? GATING.silu,
		output: typeof output === "number" ? output : places.buffer(output),
	};
}

function panelsOf(
	places: Places,
	op: Op,
	weight: Weight,
	bias: Weight | null,
): ExpertPanels {
	const packed = places.matrix(weight, op);
	const expertRows = weight.shape[0] / packed.numExperts;
	const columns = packed.interleaved ? expertRows / 2 : expertRows;
	return {
		format: FORMATS[packed.format].id,
		depth: packed.depth,
		groupBytes: groupBytes(packed.format, packed.columns),
		w: packed.address,
		panelBytes: packed.panelBytes,
		numPanels: Math.ceil(columns / PANEL_COLUMNS),
		expertBytes: packed.numPanels * packed.panelBytes,
		bias: places.vector(bias),
		biasBytes: bias === null ? 0 : expertRows * 4,
		columns,
	};
}

function linearTask(
	op: OpOf<"normLinear" | "normGatedLinear" | "logits">,
	places: Places,
): LinearTask {
	switch (op.op) {
		case "normLinear":
			return linear(op, { ...op, mode: "store" }, places);
		case "logits":
			return linear(op, { ...op, mode: "store", bias: null }, places);
		case "normGatedLinear": {
			const gating = GATING[op.activation];
			return linear(op, { ...op, mode: "gated", gating }, places);
		}
		default:
			return op satisfies never;
	}
}

/** Sums that are normalised stand in a buffer of their own until whole rows are there. */
function linearAddTasks(op: OpOf<"linearAdd">, places: Places): Task[] {
	const { postNorm, residual, scale } = op;
	const { width } = residual;
	const plain = { ...op, norm: null };
	if (postNorm === null) {
		const added = { ...plain, mode: "add" as const, output: residual };
		return [linear(op, added, places)];
	}
	const branch = { name: `branch of ${width}`, rows: "T", width } as const;
	const stored = { ...plain, mode: "store" as const, scale: 1, output: branch };
	const addRows: Task = {
		kind: "addRows",
		input: places.buffer(branch),
		width,
		norm: places.vector(postNorm.weight),
		eps: postNorm.eps,
		scale,
		residual: places.buffer(residual),
	};
	return [linear(op, stored, places), addRows];
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

const isMixture = (op: Op): op is OpOf<"mixtureOfExperts"> =>
	op.op === "mixtureOfExperts";

const tokensAtOnce = ({ maxNumBatchedTokens }: Limits): number =>
	Math.min(EXPERT_TOKENS, maxNumBatchedTokens);

/** Room for the mixture that wants most; null: there is none. */
function placeRouting(
	program: Program,
	arena: Arena,
	limits: Limits,
): RoutingPlaces | null {
	const ops = program.ops.filter(isMixture);
	if (ops.length === 0) return null;
	const numTokens = tokensAtOnce(limits);
	const most = (of: (op: OpOf<"mixtureOfExperts">) => number) =>
		Math.max(...ops.map(of));
	const numExperts = most((op) => op.numExperts);
	const choices = numTokens * most((op) => op.topK);
	const words = (count: number) => arena.take(count * 4);
	return {
		logits: words(numTokens * numExperts),
		ids: words(choices),
		weights: words(choices),
		starts: words(numExperts + 1),
		groupStarts: words(numExperts + 1),
		next: words(numExperts),
		tokens: words(choices),
		slots: words(choices),
		factors: words(choices),
		hidden: words(numTokens * most((op) => op.topK * op.down.shape[1])),
	};
}

/** Groups of rows the mixtures fill at most: experts share none, so that each may leave one unfilled. */
export function expertGroupsOf(program: Program, limits: Limits): number {
	const counts = program.ops.filter(isMixture).map(({ topK, numExperts }) => {
		const choices = tokensAtOnce(limits) * topK;
		return Math.ceil((choices + 3 * Math.min(numExperts, choices)) / 4);
	});
	return Math.max(0, ...counts);
}

function expertsTask(
	op: OpOf<"mixtureOfExperts">,
	places: Places,
	limits: Limits,
	routing: RoutingPlaces | null,
): ExpertsTask {
	if (routing === null)
		throw new Error("nano-vllm bug: a mixture has no room for its routing");
	const { gating, residual, norm } = op;
	const router: LinearParts = {
		mode: "store",
		input: residual,
		norm,
		weight: op.router,
		bias: op.routerBias,
		output: routing.logits,
	};
	return {
		kind: "experts",
		maxTokens: tokensAtOnce(limits),
		numExperts: op.numExperts,
		topK: op.topK,
		normalize: op.normalize,
		scale: op.scale,
		router: linear(op, router, places),
		gateUp: panelsOf(places, op, op.gateUp, op.gateUpBias),
		gating: GATING[gating.kind === "gated" ? gating.activation : gating.kind],
		limit: gating.kind === "gated" ? 0 : gating.limit,
		down: panelsOf(places, op, op.down, op.downBias),
		routing,
	};
}
