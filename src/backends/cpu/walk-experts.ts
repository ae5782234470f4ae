/**
 * How the threads run a mixture of experts: route all tokens, sort them by expert, and meet each expert's panels with all of its
 * tokens at once, so that a weight is read once. A thread takes the same columns of every expert: shares are even however the tokens
 * fall, and a token's sums are one thread's, in the order of its experts.
 */
import { GROUP_ROWS } from "./format.ts";
import type { ExpertPanels, ExpertsTask } from "./plan.ts";
import type { Thread } from "./thread.ts";
import { prepareRows } from "./walk-linear.ts";

/** Rows of the router's work that go together: one panel may be all the columns it has. */
const ROUTER_ROWS = 4 * GROUP_ROWS;

export function runExperts(
	thread: Thread,
	task: ExpertsTask,
	numTokens: number,
): void {
	for (let first = 0; first < numTokens; first += task.maxTokens) {
		const count = Math.min(task.maxTokens, numTokens - first);
		const residual = task.router.input + first * task.router.width * 4;
		route(thread, task, residual, count);
		gateAndUp(thread, task, residual, count);
		down(thread, task, residual, count);
	}
}

/** Which experts each token goes to, and the tokens of each expert. */
function route(
	thread: Thread,
	task: ExpertsTask,
	residual: number,
	count: number,
): void {
	const { kernels, share } = thread;
	const { numExperts, topK, routing } = task;
	prepareRows(thread, task.router, residual, count, 0);
	routerLogits(thread, task, count);
	share(count, thread.pieceOf(count, 1), (start, end) =>
		kernels.choose_experts(
			routing.logits,
			numExperts,
			topK,
			task.normalize ? 1 : 0,
			task.scale,
			start,
			end,
			routing.ids,
			routing.weights,
		),
	);
	share(1, 1, () =>
		kernels.group_by_expert(
			routing.ids,
			routing.weights,
			count,
			topK,
			numExperts,
			routing.starts,
			routing.groupStarts,
			routing.next,
			routing.tokens,
			routing.slots,
			routing.factors,
		),
	);
}

/**
 * Pieces are a few rows and one panel. A row left alone is met as one of two (the other's logits are nobody's): the kernel for one row
 * adds in another order, and which experts a token goes to shall not depend on how many tokens there are.
 */
function routerLogits(
	{ kernels, plan, scratch, share }: Thread,
	{ router }: ExpertsTask,
	count: number,
): void {
	const numBlocks = Math.ceil(count / ROUTER_ROWS);
	const groupBytes = (ROUTER_ROWS / GROUP_ROWS) * router.groupBytes;
	share(numBlocks * router.numPanels, 1, (start, end) => {
		for (let piece = start; piece < end; piece++) {
			const panel = piece % router.numPanels;
			const block = Math.floor(piece / router.numPanels);
			const first = block * ROUTER_ROWS;
			kernels.linear(
				router.format,
				plan.groups + block * groupBytes,
				router.groupBytes,
				Math.max(2, Math.min(ROUTER_ROWS, count - first)),
				router.w,
				router.panelBytes,
				panel,
				panel + 1,
				router.depth,
				router.bias,
				1,
				router.output + first * router.columns * 4,
				router.columns,
				0,
				scratch,
			);
		}
	});
}

/** hidden[choice] = gating(gateUp · norm(residual[its token])) */
function gateAndUp(
	thread: Thread,
	task: ExpertsTask,
	residual: number,
	count: number,
): void {
	const { kernels, plan, scratch, share, pieceOf } = thread;
	const { router, gateUp, routing } = task;
	const choices = count * task.topK;
	share(choices, pieceOf(choices, 1), (start, end) =>
		kernels.prepare_rows(
			gateUp.format,
			residual,
			router.width,
			routing.tokens,
			routing.slots,
			start,
			end,
			router.norm,
			router.eps,
			gateUp.depth,
			scratch,
			plan.groups,
			gateUp.groupBytes,
		),
	);
	const { numPanels, columns } = gateUp;
	share(numPanels, pieceOf(numPanels, 1), (start, end) => {
		eachExpert(thread, task, gateUp, (expert) =>
			kernels.gated_linear(
				gateUp.format,
				expert.groups,
				gateUp.groupBytes,
				expert.numRows,
				expert.w,
				gateUp.panelBytes,
				start,
				end,
				gateUp.depth,
				expert.bias,
				task.gating,
				task.limit,
				routing.hidden + expert.first * columns * 4,
				columns,
				scratch,
			),
		);
	});
}

/** residual[token of choice] += its factor · (down · hidden[choice]) */
function down(
	thread: Thread,
	task: ExpertsTask,
	residual: number,
	count: number,
): void {
	const { kernels, plan, scratch, share, pieceOf } = thread;
	const { gateUp, down, routing } = task;
	const choices = count * task.topK;
	share(choices, pieceOf(choices, 1), (start, end) =>
		kernels.prepare_rows(
			down.format,
			routing.hidden,
			gateUp.columns,
			0,
			routing.slots,
			start,
			end,
			0,
			0,
			down.depth,
			scratch,
			plan.groups,
			down.groupBytes,
		),
	);
	share(down.numPanels, pieceOf(down.numPanels, 1), (start, end) => {
		eachExpert(thread, task, down, (expert) =>
			kernels.linear_scatter(
				down.format,
				expert.groups,
				down.groupBytes,
				expert.numRows,
				expert.w,
				down.panelBytes,
				start,
				end,
				down.depth,
				expert.bias,
				routing.tokens + expert.first * 4,
				routing.factors + expert.first * 4,
				residual,
				down.columns,
				scratch,
			),
		);
	});
}

interface Expert {
	/** Its first choice, and how many it has. */
	first: number;
	numRows: number;
	groups: number;
	w: number;
	bias: number;
}

/** Calls `work` for every expert that has tokens, in order, each time with the same object. */
function eachExpert(
	{ words, plan }: Thread,
	{ numExperts, routing }: ExpertsTask,
	panels: ExpertPanels,
	work: (expert: Expert) => void,
): void {
	const starts = routing.starts / 4;
	const groupStarts = routing.groupStarts / 4;
	const expert: Expert = { first: 0, numRows: 0, groups: 0, w: 0, bias: 0 };
	for (let e = 0; e < numExperts; e++) {
		expert.first = words[starts + e];
		expert.numRows = words[starts + e + 1] - expert.first;
		if (expert.numRows === 0) continue;
		expert.groups = plan.groups + words[groupStarts + e] * panels.groupBytes;
		expert.w = panels.w + e * panels.expertBytes;
		expert.bias = panels.bias === 0 ? 0 : panels.bias + e * panels.biasBytes;
		work(expert);
	}
}
