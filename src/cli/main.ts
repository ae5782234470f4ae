#!/usr/bin/env node
/** The command nano-vllm. Exit codes: 0 done, 1 an error (one line on stderr), 130 interrupted. */
import { CommanderError } from "commander";
import { NanoVllmError } from "../errors.ts";
import { ENGINE_FLAGS } from "./engine-flags.ts";
import { inFlags } from "./flags.ts";
import { createProgram } from "./program.ts";
import { OUTPUT_FLAGS, SAMPLING_FLAGS } from "./sampling-flags.ts";
import { SERVER_FLAGS } from "./serve-flags.ts";
import { leaveQuietlyOnClosedPipe, reportError } from "./terminal.ts";

leaveQuietlyOnClosedPipe();
try {
	await createProgram().parseAsync();
} catch (error) {
	process.exitCode = exitCodeOf(error);
}

function exitCodeOf(error: unknown): number {
	// commander has printed its own message
	if (error instanceof CommanderError) return error.exitCode;
	if (error instanceof NanoVllmError && error.code === "aborted") return 130;
	const message = error instanceof Error ? error.message : String(error);
	const tables = [ENGINE_FLAGS, SAMPLING_FLAGS, OUTPUT_FLAGS, SERVER_FLAGS];
	reportError(error, inFlags(message, tables));
	return 1;
}
