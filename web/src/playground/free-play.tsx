/** Prompts and an engine as the reader sets them, run at will. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Engine } from "../engine.ts";
import { Watch } from "../inspector/watch.ts";
import { pool, workload } from "./choices.ts";
import { FiguresList } from "./figures-list.tsx";
import { Marks } from "./marks.tsx";
import type { PoolLoader } from "./pool-loader.ts";
import { MAX_AT_A_SERVER, run } from "./run.ts";
import type { RunFigures } from "./run-figures.ts";
import { RunPictures } from "./run-pictures.tsx";
import type { PoolSettings } from "./scenarios.ts";
import { PoolForm, WorkloadForm } from "./settings-form.tsx";
import { requestsOf, type Workload } from "./workload.ts";

export interface FreePlayProps {
	readonly engine: Engine;
	/** null: a server. */
	readonly loader: PoolLoader | null;
	readonly onResult: (name: string, figures: RunFigures) => void;
	readonly onBusy: (isBusy: boolean) => void;
}

export function FreePlay(props: FreePlayProps) {
	const { status, message, watch, figures, start, stop } = useRun(
		props,
		workload.value,
		pool.value,
	);
	const isFixed = props.loader === null;
	return (
		<article class="scenario" data-scenario="free" data-phase={status}>
			<h2>Your own</h2>
			<form
				class="play-form"
				onSubmit={(event) => {
					event.preventDefault();
					void start();
				}}
			>
				<WorkloadForm
					value={workload.value}
					onChange={(value) => {
						workload.value = value;
					}}
				/>
				<PoolForm
					value={pool.value}
					isFixed={isFixed}
					onChange={(value) => {
						pool.value = value;
					}}
				/>
				{isFixed && (
					<p class="hint">
						The engine runs on a server, which was started with settings of its
						own. Prompts can be fired at it all the same, {MAX_AT_A_SERVER} at a
						time: a browser keeps few connections to one server.
					</p>
				)}
				<div class="transport-row">
					<button
						type="submit"
						class="button primary"
						disabled={status !== "idle"}
					>
						Run
					</button>
					{status !== "idle" && (
						<button type="button" class="button" onClick={stop}>
							Stop
						</button>
					)}
					<span class="moment" role="status">
						{status === "loading" && "Loading the model with these settings …"}
						{status === "running" && "Running …"}
					</span>
				</div>
			</form>
			{message !== null && (
				<p class="notice error" role="alert">
					{message}
				</p>
			)}
			{figures && <FiguresList figures={figures} />}
			{watch && <Marks />}
			{watch && (
				<RunPictures
					watch={watch}
					isOver={figures !== null}
					numSteps={figures?.engine?.numSteps ?? null}
				/>
			)}
		</article>
	);
}

function useRun(
	{ engine, loader, onResult, onBusy }: FreePlayProps,
	workload: Workload,
	pool: PoolSettings,
) {
	const [status, setStatus] = useState<"idle" | "loading" | "running">("idle");
	const [message, setMessage] = useState<string | null>(null);
	const [watch, setWatch] = useState<Watch | null>(null);
	const [figures, setFigures] = useState<RunFigures | null>(null);
	const controller = useRef<AbortController | null>(null);
	const stop = () =>
		controller.current?.abort(new Error("the run was stopped."));
	useEffect(() => stop, []);
	const start = async () => {
		const current = new AbortController();
		controller.current = current;
		const { signal } = current;
		setMessage(null);
		setFigures(null);
		onBusy(true);
		try {
			setStatus("loading");
			const loaded = loader === null ? engine : await loader.load(pool);
			signal.throwIfAborted();
			const fresh = new Watch();
			setWatch(fresh);
			setStatus("running");
			const result = await run(loaded, requestsOf(workload), {
				signal,
				now: () => performance.now(),
				onEvent: (event) => fresh.push(event),
			});
			setFigures(result);
			onResult(nameOfRun(workload, loader === null ? null : pool), result);
		} catch (error) {
			setMessage(error instanceof Error ? error.message : String(error));
		} finally {
			setStatus("idle");
			onBusy(false);
		}
	};
	return { status, message, watch, figures, start, stop };
}

function nameOfRun(workload: Workload, pool: PoolSettings | null): string {
	const { numPrompts, numSharedWords } = workload;
	const prompts = `${numPrompts} prompts, ${numSharedWords} words shared`;
	if (pool === null) return prompts;
	const parts = [
		prompts,
		`budget ${pool.maxNumBatchedTokens}`,
		`${pool.maxNumSeqs} at once`,
		`pool ${pool.poolTokens} in blocks of ${pool.blockSize}`,
	];
	if (!pool.enableChunkedPrefill) parts.push("no chunks");
	if (!pool.enablePrefixCaching) parts.push("no prefix cache");
	return parts.join(", ");
}
