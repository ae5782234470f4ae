/** How a thread takes its shares of a linear: first rows are prepared, then panels of output columns are met with all of them. */
import type { AddRowsTask, LinearTask } from "./plan.ts";
import type { Thread } from "./thread.ts";

/** @param rows 0, or the address of the indices of the `numRows` rows to take */
export function runLinear(
	thread: Thread,
	task: LinearTask,
	numRows: number,
	rows: number,
): void {
	prepareRows(thread, task, task.input, numRows, rows);
	const { kernels, plan, scratch } = thread;
	const piece = thread.pieceOf(task.numPanels, 2);
	thread.share(task.numPanels, piece, (start, end) => {
		if (task.mode === "gated")
			kernels.gated_linear(
				task.format,
				plan.groups,
				task.groupBytes,
				numRows,
				task.w,
				task.panelBytes,
				start,
				end,
				task.depth,
				task.bias,
				task.gating,
				0,
				task.output,
				task.columns,
				scratch,
			);
		else
			kernels.linear(
				task.format,
				plan.groups,
				task.groupBytes,
				numRows,
				task.w,
				task.panelBytes,
				start,
				end,
				task.depth,
				task.bias,
				task.scale,
				task.output,
				task.columns,
				task.mode === "add" ? 1 : 0,
				scratch,
			);
	});
}

/** Rows of `input`, normalised where the task has a norm, into plan.groups. */
export function prepareRows(
	{ share, pieceOf, kernels, plan, scratch }: Thread,
	task: LinearTask,
	input: number,
	numRows: number,
	rows: number,
): void {
	share(numRows, pieceOf(numRows, 4), (start, end) =>
		kernels.prepare_rows(
			task.format,
			input,
			task.width,
			rows,
			0,
			start,
			end,
			task.norm,
			task.eps,
			task.depth,
			scratch,
			plan.groups,
			task.groupBytes,
		),
	);
}

export function runAddRows(
	{ share, pieceOf, kernels }: Thread,
	{ input, width, norm, eps, scale, residual }: AddRowsTask,
	numRows: number,
): void {
	share(numRows, pieceOf(numRows, 1), (start, end) =>
		kernels.add_rows(input, width, start, end, norm, eps, scale, residual),
	);
}
