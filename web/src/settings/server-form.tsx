/** The address of a server and its key. */
import { useState } from "preact/hooks";
import { rememberedKey, type ServerChoice } from "../engine-choice.ts";
import { Field } from "../field.tsx";
import { session, startEngine } from "../session.ts";

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
			<Field
				label="Address"
				hint="Of nano-vllm serve, vLLM, or another server with OpenAI's API."
			>
				{(control) => (
					<input
						{...control}
						type="url"
						required
						value={address}
						onInput={({ currentTarget }) => setAddress(currentTarget.value)}
					/>
				)}
			</Field>
			<Field
				label="API key"
				hint="Sent to this address alone, and forgotten when this tab is closed."
			>
				{(control) => (
					<input
						{...control}
						type="password"
						autoComplete="off"
						value={apiKey}
						onInput={({ currentTarget }) => setApiKey(currentTarget.value)}
					/>
				)}
			</Field>
			<div class="button-row">
				<button type="submit" class="button primary" disabled={isLoading}>
					Connect
				</button>
			</div>
		</form>
	);
}
