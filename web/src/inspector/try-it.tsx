/** Gives an idle engine something to show. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Engine } from "../engine.ts";
import { run } from "../playground/run.ts";
import { requestsOf, type Workload } from "../playground/workload.ts";

const WORKLOAD: Workload = {
	numPrompts: 12,
	numSharedWords: 48,
	minOwnWords: 8,
	maxOwnWords: 96,
	minOutputTokens: 16,
	maxOutputTokens: 80,
	seed: 1,
};

export function TryIt({ engine }: { readonly engine: Engine }) {
	const [message, setMessage] = useState<string | null>(null);
	const [isRunning, setRunning] = useState(false);
	const controller = useRef(new AbortController());
	useEffect(() => () => controller.current.abort(), []);
	const fire = async () => {
		setRunning(true);
		setMessage(null);
		try {
			const { signal } = controller.current;
			const now = () => performance.now();
			await run(engine, requestsOf(WORKLOAD), { signal, now, onEvent() {} });
		} catch (error) {
			setMessage(error instanceof Error ? error.message : String(error));
		} finally {
			setRunning(false);
		}
	};
	return (
		<>
			<button
				type="button"
				class="button primary"
				disabled={isRunning}
				onClick={fire}
			>
				{isRunning
					? "Running …"
					: `Run ${WORKLOAD.numPrompts} prompts that begin alike`}
			</button>
			{message !== null && (
				<p class="notice error" role="alert">
					{message}
				</p>
			)}
		</>
	);
}
