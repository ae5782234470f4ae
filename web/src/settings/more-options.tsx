/** Options of the tab's engine that most readers never need. */
import type { TabSettings } from "../engine-choice.ts";
import { Field } from "../field.tsx";

export interface OptionsProps {
	readonly settings: TabSettings;
	readonly onSettings: (settings: TabSettings) => void;
}

const NUMBERS = [
	[
		"maxModelLen",
		"Longest text, tokens",
		"Prompt and answer together. Shorter needs less memory.",
	],
	["maxNumSeqs", "Requests at once", "As many run in one batch."],
	[
		"maxNumBatchedTokens",
		"Tokens per step",
		"Long prompts are computed in pieces of at most so many.",
	],
] as const;

const QUANTIZATIONS = [
	["", "As stored"],
	["q8_0", "8 bits (q8_0)"],
	["q4_0", "4 bits (q4_0)"],
] as const;

export function MoreOptions({ settings, onSettings }: OptionsProps) {
	return (
		<details class="more-options">
			<summary>More options</summary>
			<Field
				label="Weights"
				hint="Fewer bits take less memory and are read faster."
			>
				{(control) => (
					<select
						{...control}
						value={settings.quantization ?? ""}
						onChange={({ currentTarget }) =>
							onSettings({
								...settings,
								quantization: (currentTarget.value ||
									undefined) as TabSettings["quantization"],
							})
						}
					>
						{QUANTIZATIONS.map(([value, label]) => (
							<option key={value} value={value}>
								{label}
							</option>
						))}
					</select>
				)}
			</Field>
			{NUMBERS.map(([name, label, hint]) => (
				<Field key={name} label={label} hint={hint}>
					{(control) => (
						<input
							{...control}
							type="number"
							min={1}
							step={1}
							placeholder="automatic"
							value={settings[name] ?? ""}
							onInput={({ currentTarget }) =>
								onSettings({
									...settings,
									[name]: currentTarget.valueAsNumber || undefined,
								})
							}
						/>
					)}
				</Field>
			))}
		</details>
	);
}
