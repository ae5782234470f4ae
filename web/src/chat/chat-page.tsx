/** Conversations with the model. */
import { NeedsEngine } from "../needs-engine.tsx";

export function ChatPage() {
	return (
		<NeedsEngine>
			{(engine) => (
				<div class="page-column">
					<h1>Chat</h1>
					<p>{engine.facts.modelName}</p>
				</div>
			)}
		</NeedsEngine>
	);
}
