/** Which engine answers: a model in this tab, or a server. */
import { EngineStart } from "../needs-engine.tsx";

export function SettingsPage() {
	return (
		<div class="page-column">
			<h1>Settings</h1>
			<EngineStart />
		</div>
	);
}
