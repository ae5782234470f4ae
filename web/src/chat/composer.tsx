/** Where one writes: Enter sends, Escape stops the answer. */
import { useRef, useState } from "preact/hooks";
import { sendsWith } from "./send-key.ts";

export interface ComposerProps {
	/** null: nobody could answer now. */
	readonly onSend: ((text: string) => void) | null;
	/** null: nothing is being answered. */
	readonly onStop: (() => void) | null;
	readonly placeholder: string;
}

export function Composer({ onSend, onStop, placeholder }: ComposerProps) {
	const [text, setText] = useState("");
	const field = useRef<HTMLTextAreaElement>(null);
	const canSend = onSend !== null && onStop === null && text.trim() !== "";
	const send = () => {
		if (!canSend) return;
		onSend?.(text.trim());
		setText("");
		field.current?.focus();
	};
	return (
		<form
			class="composer"
			onSubmit={(event) => {
				event.preventDefault();
				send();
			}}
		>
			<textarea
				ref={field}
				rows={1}
				aria-label="Message"
				placeholder={placeholder}
				value={text}
				onInput={({ currentTarget }) => setText(currentTarget.value)}
				onKeyDown={(event) => {
					if (!sendsWith(event)) return;
					event.preventDefault();
					send();
				}}
			/>
			{onStop ? (
				<button
					type="button"
					class="button"
					onClick={() => {
						onStop();
						field.current?.focus();
					}}
				>
					Stop
				</button>
			) : (
				<button type="submit" class="button primary" disabled={!canSend}>
					Send
				</button>
			)}
		</form>
	);
}
