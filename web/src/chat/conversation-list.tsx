/** All conversations: choose, rename, export, delete. */
import { useEffect, useRef, useState } from "preact/hooks";
import { ConfirmDialog } from "../confirm-dialog.tsx";
import { stopAnswers } from "./answering.ts";
import type { Conversation } from "./conversation.ts";
import {
	conversations,
	currentId,
	putConversation,
	removeConversation,
	startNew,
} from "./conversations.ts";
import { exportConversation } from "./export.ts";

export interface ListProps {
	/** Called when one was chosen. */
	readonly onChosen: () => void;
}

export function ConversationList({ onChosen }: ListProps) {
	const [renamed, setRenamed] = useState<string | null>(null);
	const [doomed, setDoomed] = useState<Conversation | null>(null);
	return (
		<>
			<button
				type="button"
				class="button new"
				onClick={() => {
					startNew();
					onChosen();
				}}
			>
				New conversation
			</button>
			<ul class="conversations">
				{conversations.value.map((it) => (
					<li key={it.id}>
						{renamed === it.id ? (
							<Rename conversation={it} onDone={() => setRenamed(null)} />
						) : (
							<Entry
								conversation={it}
								onChosen={onChosen}
								onRename={() => setRenamed(it.id)}
								onDelete={() => setDoomed(it)}
							/>
						)}
					</li>
				))}
			</ul>
			{doomed && (
				<ConfirmDialog
					question={`Delete “${doomed.title}”?`}
					detail="It is kept in this browser alone, and cannot be brought back."
					action="Delete"
					onConfirm={() => {
						stopAnswers(doomed.id);
						removeConversation(doomed.id);
					}}
					onClose={() => setDoomed(null)}
				/>
			)}
		</>
	);
}

interface EntryProps extends ListProps {
	readonly conversation: Conversation;
	readonly onRename: () => void;
	readonly onDelete: () => void;
}

function Entry({ conversation, onChosen, onRename, onDelete }: EntryProps) {
	const { id, title } = conversation;
	const isCurrent = currentId.value === id;
	return (
		<div class={`conversation ${isCurrent ? "current" : ""}`}>
			<button
				type="button"
				class="conversation-title"
				aria-current={isCurrent ? "true" : undefined}
				title={title}
				onClick={() => {
					currentId.value = id;
					onChosen();
				}}
			>
				{title}
			</button>
			{isCurrent && (
				<div class="conversation-actions">
					<button type="button" class="button quiet" onClick={onRename}>
						Rename
					</button>
					<button
						type="button"
						class="button quiet"
						onClick={() => exportConversation(conversation)}
					>
						Export
					</button>
					<button type="button" class="button quiet" onClick={onDelete}>
						Delete
					</button>
				</div>
			)}
		</div>
	);
}

function Rename({
	conversation,
	onDone,
}: {
	readonly conversation: Conversation;
	readonly onDone: () => void;
}) {
	const field = useRef<HTMLInputElement>(null);
	useEffect(() => field.current?.select(), []);
	const save = () => {
		const title = field.current?.value.trim() ?? "";
		if (title !== "") putConversation({ ...conversation, title });
		onDone();
	};
	return (
		<form
			class="rename"
			onSubmit={(event) => {
				event.preventDefault();
				save();
			}}
		>
			<input
				ref={field}
				aria-label="Name of the conversation"
				maxLength={120}
				defaultValue={conversation.title}
				onBlur={save}
				onKeyDown={(event) => {
					if (event.key !== "Escape") return;
					event.stopPropagation();
					onDone();
				}}
			/>
		</form>
	);
}
