/** How tokens are chosen, and what the model is told beforehand. */
import { useState } from "preact/hooks";
import { Field } from "../field.tsx";
import type { Conversation } from "./conversation.ts";
import { putConversation } from "./conversations.ts";
import {
	parseField,
	resetSampling,
	SAMPLING_FIELDS,
	type SamplingField,
	sampling,
	setSampling,
} from "./sampling.ts";

export function SamplingPanel({
	conversation,
	hasChatTemplate,
}: {
	readonly conversation: Conversation;
	readonly hasChatTemplate: boolean;
}) {
	const isSet = Object.values(sampling.value).some((it) => it !== undefined);
	return (
		<>
			<Field
				label={
					hasChatTemplate ? "Instructions" : "Text before the first message"
				}
				hint="For this conversation alone."
			>
				{(control) => (
					<textarea
						{...control}
						rows={4}
						value={conversation.system}
						onChange={({ currentTarget }) =>
							putConversation({ ...conversation, system: currentTarget.value })
						}
					/>
				)}
			</Field>
			{SAMPLING_FIELDS.map((field) => (
				<NumberField key={field.name} field={field} />
			))}
			<button
				type="button"
				class="button"
				disabled={!isSet}
				onClick={resetSampling}
			>
				Back to the model's own
			</button>
		</>
	);
}

function NumberField({ field }: { readonly field: SamplingField }) {
	const { name, label, hint, min, max, step } = field;
	const [isWrong, setWrong] = useState(false);
	return (
		<Field
			label={label}
			hint={isWrong ? `Wanted: ${bounds(field)}.` : hint}
			isWrong={isWrong}
		>
			{(control) => (
				<input
					{...control}
					type="number"
					inputMode="decimal"
					min={min}
					max={max}
					step={step}
					placeholder="the model's own"
					value={sampling.value[name] ?? ""}
					aria-invalid={isWrong}
					onInput={({ currentTarget }) => {
						const value = parseField(field, currentTarget.value);
						setWrong(value === null || currentTarget.validity.badInput);
						if (value !== null) setSampling(name, value);
					}}
				/>
			)}
		</Field>
	);
}

function bounds({ min, max, step }: SamplingField): string {
	const kind = step === 1 ? "a whole number" : "a number";
	const isOpen = max > 1e6;
	return isOpen ? `${kind} from ${min}` : `${kind} from ${min} to ${max}`;
}
