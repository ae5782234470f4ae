// sample: one token id per row of logits, and the logprobs asked for. The stages, their order and the draw are those of the
// reference backend (../../reference/sample.ts); here no stage but the first reads all of the logits where it can help it.
import { draw } from "./draw";
import { leastKept } from "./filters";
import { findMaxima, firstFrom, greatest, Logits, numChunks } from "./logits";
import { writeLogprobs } from "./logprobs";
import { adjust, isAdjusted } from "./penalties";
import { Row } from "./sample-row";
import { BINS } from "./select";

const NAN_LOGITS = -1;
const ALL_FORBIDDEN = -2;

/** scratch: as ../scratch.ts's samplerScratch says, 16-byte aligned; its first vocab · 4 bytes are zero before and after. */
export function sample_row(at: usize, scratch: usize): void {
	const row = changetype<Row>(at);
	const bytes = <usize>row.vocab * 4;
	const counts = scratch;
	const raw = scratch + bytes;
	const logits = logitsOf(row, raw + bytes);
	if (findMaxima(logits)) {
		row.result = NAN_LOGITS;
		return;
	}
	const adjusted = row.scored < 0 && isAdjusted(row);
	if (adjusted) {
		if (row.entries > 0) memory.copy(raw, logits.at, bytes);
		adjust(row, counts);
		findMaxima(logits);
	}
	row.result = row.scored < 0 ? choose(row, logits) : row.scored;
	if (row.entries === 0 || row.result < 0) return;
	logits.temperature = 1;
	if (adjusted) {
		logits.at = raw;
		findMaxima(logits);
	}
	writeLogprobs(row, logits);
}

/** Lays the row's view and its room to work out at `work`. */
function logitsOf(row: Row, work: usize): Logits {
	const logits = changetype<Logits>(work);
	logits.at = row.logits;
	logits.size = row.vocab;
	logits.temperature = 1;
	logits.bins = work + offsetof<Logits>();
	logits.maxima = logits.bins + BINS * 8;
	logits.list = logits.maxima + <usize>numChunks(logits) * 4;
	return logits;
}

function choose(row: Row, logits: Logits): i32 {
	const greatestLogit = greatest(logits);
	if (greatestLogit === -Infinity) return ALL_FORBIDDEN;
	if (row.temperature === 0) return firstFrom(logits, greatestLogit);
	logits.temperature = row.temperature;
	const peak = greatestLogit / row.temperature;
	const best = firstFrom(logits, peak);
	row.threshold = leastKept(row, logits, peak);
	return peak === Infinity ? best : draw(row, logits, best, peak);
}
