/** What the reader wrote, and a way to write it anew. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { UserTurn } from "./conversation.ts";
import { sendsWith } from "./send-key.ts";

export interface UserProps {
	readonly turn: UserTurn;
	/** null: nobody could answer now. */
	readonly onEdit: ((text: string) => void) | null;
}

export function UserView({ turn, onEdit }: UserProps) {
	const [isEditing, setEditing] = useState(false);
	if (isEditing && onEdit !== null)
		return (
			<Editor
				text={turn.text}
				onCancel={() => setEditing(false)}
				onSave={(text) => {
					setEditing(false);
					onEdit(text);
				}}
			/>
		);
	return (
		<article class="question" aria-label="Question">
			<p class="question-text">{turn.text}</p>
			{onEdit && (
				<button
					type="button"
					class="button quiet"
					onClick={() => setEditing(true)}
				>
					Edit
				</button>
			)}
		</article>
	);
}

interface EditorProps {
	readonly text: string;
	readonly onSave: (text: string) => void;
	readonly onCancel: () => void;
}

function Editor({ text, onSave, onCancel }: EditorProps) {
	const [changed, setChanged] = useState(text);
	const field = useRef<HTMLTextAreaElement>(null);
	useEffect(() => field.current?.focus(), []);
	const save = () => {
		if (changed.trim() !== "") onSave(changed);
	};
	return (
		<form
			class="editor"
			onSubmit={(event) => {
				event.preventDefault();
				save();
			}}
		>
			<textarea
				ref={field}
				aria-label="Edit the question"
				value={changed}
				onInput={({ currentTarget }) => setChanged(currentTarget.value)}
				onKeyDown={(event) => {
					if (event.key === "Escape") {
						event.stopPropagation();
						onCancel();
					} else if (sendsWith(event)) {
						event.preventDefault();
						save();
					}
				}}
			/>
			<div class="button-row">
				<button type="submit" class="button primary" disabled={!changed.trim()}>
					Ask again
				</button>
				<button type="button" class="button" onClick={onCancel}>
					Cancel
				</button>
				<span class="hint">What follows is replaced.</span>
			</div>
		</form>
	);
}
