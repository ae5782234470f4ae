/** A field of a form with its label, and a hint that is read after it. */
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

export interface FieldProps {
	readonly label: string;
	readonly hint?: string;
	/** The hint says what is wrong. */
	readonly isWrong?: boolean;
	/** The control, given what ties it to label and hint. */
	readonly children: (control: {
		readonly id: string;
		readonly "aria-describedby": string | undefined;
	}) => ComponentChildren;
}

export function Field({ label, hint, isWrong = false, children }: FieldProps) {
	const id = useId();
	const hintId = hint === undefined ? undefined : `${id}-hint`;
	return (
		<div class="field">
			<label for={id}>{label}</label>
			{children({ id, "aria-describedby": hintId })}
			{hint !== undefined && (
				<p id={hintId} class={isWrong ? "hint wrong" : "hint"}>
					{hint}
				</p>
			)}
		</div>
	);
}
