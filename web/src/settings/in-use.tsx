/** What is known of the engine in use, or what becomes of it. */
import type { EngineFacts } from "../engine.ts";
import { EngineStart } from "../needs-engine.tsx";
import { session, stopEngine } from "../session.ts";

export function InUse() {
	const { value } = session;
	if (value.kind === "none") return null;
	if (value.kind !== "ready")
		return (
			<section aria-label="In use">
				<EngineStart />
			</section>
		);
	const { facts } = value.engine;
	return (
		<section class="in-use" aria-label="In use">
			<dl class="facts">
				{rows(facts).map(([name, text]) => (
					<div key={name}>
						<dt>{name}</dt>
						<dd>{text}</dd>
					</div>
				))}
			</dl>
			<button type="button" class="button" onClick={stopEngine}>
				{facts.place === "tab" ? "Unload" : "Disconnect"}
			</button>
		</section>
	);
}

const DEVICES: Readonly<Record<string, string>> = {
	webgpu: "GPU (WebGPU)",
	cpu: "CPU (WebAssembly)",
	reference: "reference",
};

function rows(facts: EngineFacts): (readonly [string, string])[] {
	const { device, deviceReason, maxModelLen } = facts;
	return [
		["Model", facts.modelName],
		...(device === null
			? []
			: [["Device", DEVICES[device] ?? device] as const]),
		...(deviceReason === null ? [] : [["Why", deviceReason] as const]),
		...(maxModelLen > 0
			? [["Takes in", `${maxModelLen.toLocaleString("en")} tokens`] as const]
			: []),
		[
			"Conversations",
			facts.hasChatTemplate
				? "through its chat template"
				: "has no chat template: it continues texts",
		],
	];
}
