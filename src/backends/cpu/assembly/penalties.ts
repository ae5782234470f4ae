// What a request asks of its logits before temperature: the tokens allowed, bias, and penalties of what was said before.
import { Row } from "./sample-row";

export function isAdjusted(row: Row): bool {
	return row.mask !== 0 || row.numBias > 0 || row.historyLength > 0;
}

/** counts: i32 [vocab], zero before and after */
export function adjust(row: Row, counts: usize): void {
	const logits = row.logits;
	const vocab = row.vocab;
	const history = row.history;
	const historyLength = row.historyLength;
	const carried = row.carried;
	if (row.mask !== 0)
		for (let i = 0; i < vocab; i++)
			if (((load<u32>(row.mask + <usize>(i >>> 5) * 4) >>> (i & 31)) & 1) === 0)
				store<f32>(logits + <usize>i * 4, -Infinity);
	for (let i: usize = 0; i < <usize>row.numBias; i++) {
		const token = logits + <usize>load<i32>(row.biasTokens + i * 4) * 4;
		store<f32>(token, load<f32>(token) + load<f32>(row.biasValues + i * 4));
	}
	if (historyLength === 0) return;
	// counts[token] = 1 + occurrences in the output, 0 where the token is in neither prompt nor output.
	for (let i = 0; i < historyLength; i++) {
		const count = counts + <usize>load<i32>(history + <usize>i * 4) * 4;
		store<i32>(count, max(1, load<i32>(count)) + (i >= row.historyPrompt ? 1 : 0));
	}
	if (carried >= 0) {
		const count = counts + <usize>carried * 4;
		store<i32>(count, max(1, load<i32>(count)) + 1);
	}
	for (let i = 0; i < historyLength; i++) penalise(row, load<i32>(history + <usize>i * 4), counts);
	if (carried >= 0) penalise(row, carried, counts);
}

/** Once per token: its count is taken away. */
function penalise(row: Row, token: i32, counts: usize): void {
	const count = load<i32>(counts + <usize>token * 4);
	if (count === 0) return;
	store<i32>(counts + <usize>token * 4, 0);
	const at = row.logits + <usize>token * 4;
	let logit = load<f32>(at);
	logit = logit > 0 ? logit / row.repetition : logit * row.repetition;
	if (count > 1) logit = <f32>(<f64>logit - (<f64>row.frequency * <f64>(count - 1) + <f64>row.presence));
	store<f32>(at, logit);
}
