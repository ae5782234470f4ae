/** Which engine answers: a model in this tab, or a server; and what is known of the one in use. */
import "./settings.css";
import { useState } from "preact/hooks";
import { rememberedChoice } from "../engine-choice.ts";
import { session } from "../session.ts";
import { CachedModels } from "./cached-models.tsx";
import { InUse } from "./in-use.tsx";
import { ServerForm } from "./server-form.tsx";
import { TabForm } from "./tab-form.tsx";

const PLACES = [
	["tab", "This tab"],
	["server", "A server"],
] as const;

export function SettingsPage() {
	const { value } = session;
	const chosen = value.kind === "none" ? rememberedChoice() : value.choice;
	const [place, setPlace] = useState(chosen?.place ?? "tab");
	return (
		<div class="page-column settings">
			<h1>Settings</h1>
			<InUse />
			<fieldset class="switch">
				<legend>Where the model runs</legend>
				{PLACES.map(([it, label]) => (
					<label key={it}>
						<input
							type="radio"
							name="place"
							checked={place === it}
							onChange={() => setPlace(it)}
						/>
						{label}
					</label>
				))}
			</fieldset>
			{place === "tab" ? (
				<>
					<TabForm chosen={chosen?.place === "tab" ? chosen : null} />
					<CachedModels />
				</>
			) : (
				<ServerForm chosen={chosen?.place === "server" ? chosen : null} />
			)}
		</div>
	);
}
