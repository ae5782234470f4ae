/** Saves what is kept of an engine's life as a trace that Perfetto and chrome://tracing open. */
import type { History } from "../../../src/inspector/history.ts";
import { traceOf } from "../../../src/inspector/trace.ts";

export function downloadTrace(history: History): void {
	const trace = traceOf(history.beginning(), history.events());
	const blob = new Blob([JSON.stringify(trace)], { type: "application/json" });
	const link = document.createElement("a");
	link.href = URL.createObjectURL(blob);
	link.download = "nano-vllm-trace.json";
	link.click();
	// The download reads it after this task.
	setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
