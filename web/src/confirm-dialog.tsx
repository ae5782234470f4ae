/** Asks before something that cannot be undone. */
import { useEffect, useId, useRef } from "preact/hooks";

export interface ConfirmProps {
	readonly question: string;
	readonly detail: string;
	/** What the button says. */
	readonly action: string;
	readonly onConfirm: () => void;
	readonly onClose: () => void;
}

export function ConfirmDialog(props: ConfirmProps) {
	const dialog = useRef<HTMLDialogElement>(null);
	const id = useId();
	useEffect(() => dialog.current?.showModal(), []);
	return (
		<dialog
			ref={dialog}
			class="confirm"
			aria-labelledby={id}
			onClose={props.onClose}
			onKeyDown={(event) => event.stopPropagation()}
		>
			<h2 id={id}>{props.question}</h2>
			<p class="hint">{props.detail}</p>
			<form method="dialog" class="button-row">
				<button type="submit" class="button">
					Cancel
				</button>
				<button
					type="submit"
					class="button danger"
					onClick={() => props.onConfirm()}
				>
					{props.action}
				</button>
			</form>
		</dialog>
	);
}
