/**
 * Biases and penalties: changes to a few logits of a row, in place, before the scan; and their undoing, where raw logprobs of the
 * row are wanted too. One workgroup a changed row. Logits are taken as bits: a NaN stays one, what is infinite stays so.
 */
import type { Kernel } from "../kernel.ts";
import { rowConstants, type SampleShape, sampleLabel } from "./sample-row.ts";

/** Words of a row's changes, in order. Places are of `words`. */
export const EDIT_WORDS = 16;

const EDIT_TYPES = `
struct Edit {
  row: u32,
  /** (token, value) pairs, each token once */
  biasAt: u32,
  numBiases: u32,
  historyAt: u32,
  numPrompt: u32,
  numHistory: u32,
  /** row of the step before whose token counts as output, or NONE */
  carried: u32,
  /** row of counts */
  counts: u32,
  /** of undo: a place for every bias, then for every token of the history, then for the carried one */
  undoAt: u32,
  presence: f32,
  frequency: f32,
  repetition: f32,
  padding0: u32,
  padding1: u32,
  padding2: u32,
  padding3: u32,
}`;

const THREADS = 256;

/**
 * logits += bias. Then for every token of the history once: l = l > 0 ? l / repetition : l · repetition, and
 * l −= frequency · count + presence where the output has it. undo = (token, bits before).
 * counts: u32 [·][stride(V)], zero before and after: 1 a prompt's token, 2 · its count in the output.
 * bindings: slice, edits, words, before (sampled by the step before), logits u32 [r][stride(V)], counts, undo vec2<u32>. Grid: [edits].
 */
export function sampleEdit(shape: SampleShape): Kernel {
	return {
		label: sampleLabel("sample_edit", shape),
		bindings: [
			["slice", "uniform", "Slice"],
			["edits", "read", "array<Edit>"],
			["words", "read", "array<u32>"],
			["before", "read", "array<u32>"],
			["logits", "write", "array<u32>"],
			["counts", "write", "array<atomic<u32>>"],
			["undo", "write", "array<vec2<u32>>"],
		],
		code: `${rowConstants(shape)}${EDIT_TYPES}
const STRIDE = 4u * STRIDE4;
fn isFinite(bits: u32) -> bool { return (bits & 0x7f800000u) != 0x7f800000u; }
fn biased(logit: u32, bias: u32) -> u32 {
  if (!isFinite(logit)) { return logit; }
  if (!isFinite(bias)) { return bias; }
  return bitcast<u32>(bitcast<f32>(logit) + bitcast<f32>(bias));
}
fn penalised(logit: u32, count: u32, edit: Edit) -> u32 {
  if (!isFinite(logit)) { return logit; }
  var x = bitcast<f32>(logit);
  if (x > 0.0) {
    let q = x / edit.repetition;
    x = q + fma(-q, edit.repetition, x) / edit.repetition;
  } else {
    x *= edit.repetition;
  }
  if (count > 0u) { x -= fma(edit.frequency, f32(count), edit.presence); }
  return bitcast<u32>(x);
}
fn tokenOf(edit: Edit, i: u32) -> u32 {
  if (i < edit.numHistory) { return words[edit.historyAt + i]; }
  return before[edit.carried];
}
@compute @workgroup_size(${THREADS}) fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let edit = edits[slice.firstEdit + id.x];
  let start = (edit.row - slice.first) * STRIDE;
  for (var i = thread; i < edit.numBiases; i += ${THREADS}u) {
    let token = words[edit.biasAt + 2u * i];
    let logit = logits[start + token];
    undo[edit.undoAt + i] = vec2<u32>(token, logit);
    logits[start + token] = biased(logit, words[edit.biasAt + 2u * i + 1u]);
  }
  if (edit.numHistory == 0u) { return; }
  let countsAt = edit.counts * STRIDE;
  let numTokens = edit.numHistory + select(1u, 0u, edit.carried == NONE);
  for (var i = thread; i < numTokens; i += ${THREADS}u) {
    let token = tokenOf(edit, i);
    if (i < edit.numPrompt) { atomicOr(&counts[countsAt + token], 1u); } else { atomicAdd(&counts[countsAt + token], 2u); }
  }
  storageBarrier();
  for (var i = thread; i < numTokens; i += ${THREADS}u) {
    let token = tokenOf(edit, i);
    let count = atomicExchange(&counts[countsAt + token], 0u);
    let place = edit.undoAt + edit.numBiases + i;
    undo[place] = vec2<u32>(NONE, 0u);
    if (count == 0u) { continue; }
    let logit = logits[start + token];
    undo[place] = vec2<u32>(token, logit);
    logits[start + token] = penalised(logit, count >> 1u, edit);
  }
}`,
	};
}

/** Puts back what sampleEdit changed. bindings: slice, edits, logits, undo. Grid: [edits]. */
export function sampleUndo(shape: SampleShape): Kernel {
	return {
		label: sampleLabel("sample_undo", shape),
		bindings: [
			["slice", "uniform", "Slice"],
			["edits", "read", "array<Edit>"],
			["logits", "write", "array<u32>"],
			["undo", "read", "array<vec2<u32>>"],
		],
		code: `${rowConstants(shape)}${EDIT_TYPES}
fn putBack(first: u32, count: u32, start: u32, thread: u32) {
  for (var i = first + thread; i < first + count; i += ${THREADS}u) {
    let old = undo[i];
    if (old.x != NONE) { logits[start + old.x] = old.y; }
  }
}
@compute @workgroup_size(${THREADS}) fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let edit = edits[slice.firstEdit + id.x];
  let start = (edit.row - slice.first) * 4u * STRIDE4;
  if (edit.numHistory > 0u) {
    putBack(edit.undoAt + edit.numBiases, edit.numHistory + select(1u, 0u, edit.carried == NONE), start, thread);
  }
  storageBarrier();
  putBack(edit.undoAt, edit.numBiases, start, thread);
}`,
	};
}
