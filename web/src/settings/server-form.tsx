/** The address of a server and its key. */
import { useState } from "preact/hooks";
import { type EngineChoice, rememberedKey } from "../engine-choice.ts";
import { session, startEngine } from "../session.ts";

type ServerChoice = Extract<EngineChoice, { place: "server" }>;

export function ServerForm({
	chosen,
}: {
	readonly chosen: ServerChoice | null;
}) {
	const here = new URL(".", document.baseURI).href.replace(/\/$/, "");
	const [address, setAddress] = useState(chosen?.address ?? here);
	const [apiKey, setApiKey] = useState(chosen?.apiKey ?? rememberedKey());
	const isLoading = session.value.kind === "loading";
	return (
		<form
			class="settings-form"
			onSubmit={(event) => {
				event.preventDefault();
				void startEngine({ place: "server", address, apiKey });
			}}
		>
			<label class="field">
				Address
				<input
					type="url"
					required
					value={address}
					onInput={({ currentTarget }) => setAddress(currentTarget.value)}
				/>
				<span class="hint">
					Of nano-vllm serve, vLLM, or another server with OpenAI's API.
				</span>
			</label>
			<label class="field">
				API key
				<input
					type="password"
					autoComplete="off"
					value={apiKey}
					onInput={({ currentTarget }) => setApiKey(currentTarget.value)}
				/>
				<span class="hint">
					Sent to this address alone, and forgotten when this tab is closed.
				</span>
			</label>
			<div class="button-row">
				<button type="submit" class="button primary" disabled={isLoading}>
					Connect
				</button>
			</div>
		</form>
	);
}
