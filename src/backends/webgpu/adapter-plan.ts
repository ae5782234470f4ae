/** The dispatches of the ops that adapters bring: two for all tokens of a linear, whatever their adapters; the gate and the norm behind them. */
import type { Norm, Op } from "../program.ts";
import { type AdapterRoom, adapterTile, type LoraOp } from "./adapter-room.ts";
import type { Dispatch } from "./dispatch.ts";
import { gate, gateGrid } from "./kernels/gate.ts";
import { loraExpand, loraExpandGrid } from "./kernels/lora-expand.ts";
import { loraShrink, loraShrinkGrid } from "./kernels/lora-shrink.ts";
import { postNorm } from "./kernels/post-norm.ts";
import { rowGrid } from "./kernels/rms-norm.ts";
import { dispatchOf, type PlanParts, vectorOf } from "./plan-parts.ts";

type OpOf<Name extends Op["op"]> = Extract<Op, { op: Name }>;

/** Nothing is dispatched in steps without adapters. */
export function loraDispatches(
	parts: PlanParts,
	room: AdapterRoom | null,
	op: LoraOp,
	most: number,
): Promise<Dispatch>[] {
	if (room === null) throw new Error("nano-vllm bug: adapters have no room");
	const { activations, storage, weights } = parts;
	const { input, norm, targets, output, scale } = op;
	const { items, list, small, maxRank: rank } = room;
	const { a, b } = room.slotsOf(op);
	const tile = adapterTile(most);
	const rows = targets.length * rank;
	const whenAny = (grid: [number, number]) =>
		room.numItems === 0 ? null : grid;
	const shrink = loraShrink({
		width: input.width,
		rows,
		rank,
		input: activations.storageOf(input),
		storage,
		normEps: norm?.eps ?? null,
		tile,
	});
	const expand = loraExpand({
		width: output.width,
		firstRows: targets.map(({ firstRow }) => firstRow),
		rank,
		output: activations.storageOf(output),
		storage,
		scale,
		tile,
	});
	const x = activations.of(input);
	const normWeight = norm ? [vectorOf(weights, norm.weight)] : [];
	return [
		dispatchOf(parts, shrink, [items, list, x, ...normWeight, a, small], () =>
			whenAny(loraShrinkGrid(room.numItems, rows)),
		),
		dispatchOf(
			parts,
			expand,
			[items, list, small, b, activations.of(output)],
			() => whenAny(loraExpandGrid(room.numItems, output.width)),
		),
	];
}

export function gateDispatch(
	parts: PlanParts,
	{ input, activation, output }: OpOf<"gate">,
): Promise<Dispatch> {
	const { activations, storage } = parts;
	const { width } = output;
	return dispatchOf(
		parts,
		gate({ width, storage, activation }),
		[activations.of(input), activations.of(output)],
		(numTokens) => gateGrid(numTokens, width),
	);
}

/** The branch is one whole sum. */
export function normAddDispatch(
	parts: PlanParts,
	{ input, norm, scale, residual }: OpOf<"normAdd">,
): Promise<Dispatch> {
	const { gpu, activations, weights } = parts;
	const { width } = residual;
	const { eps, weight }: Norm = norm;
	const split = { splits: 1, rows: 0 };
	return dispatchOf(
		parts,
		postNorm({ width, eps, split, bias: false, scale }, gpu.abilities),
		[
			activations.of(residual),
			activations.of(input),
			vectorOf(weights, weight),
		],
		rowGrid,
	);
}
