/** A place to drop a model's files on, and buttons for those who do not drag. */
import { useRef, useState } from "preact/hooks";
import {
	droppedFiles,
	type FileMap,
	type UserFiles,
} from "../../../src/browser.ts";

export interface FilesProps {
	readonly files: FileMap | null;
	readonly onFiles: (files: FileMap) => void;
}

export function FilesField({ files, onFiles }: FilesProps) {
	const [isOver, setOver] = useState(false);
	const [trouble, setTrouble] = useState<string | null>(null);
	const take = async (given: UserFiles) => {
		try {
			onFiles(await droppedFiles(given));
			setTrouble(null);
		} catch (error) {
			setTrouble((error as Error).message);
		}
	};
	return (
		<section
			class={`drop ${isOver ? "over" : ""}`}
			aria-label="Files of a model"
			onDragOver={(event) => {
				event.preventDefault();
				setOver(true);
			}}
			onDragLeave={() => setOver(false)}
			onDrop={(event) => {
				event.preventDefault();
				setOver(false);
				if (event.dataTransfer) void take(event.dataTransfer);
			}}
		>
			<p>
				{files === null
					? "Drop a folder with safetensors or a GGUF here"
					: described(files)}
			</p>
			<div class="button-row">
				<FilesButton isFolder onChosen={take}>
					Choose a folder
				</FilesButton>
				<FilesButton isFolder={false} onChosen={take}>
					Choose files
				</FilesButton>
			</div>
			{trouble && (
				<p class="hint wrong" role="alert">
					{trouble}
				</p>
			)}
		</section>
	);
}

function described({ label, contents }: FileMap): string {
	const names = [...contents.keys()];
	return names.length === 1 ? names[0] : `${label}: ${names.length} files`;
}

function FilesButton({
	isFolder,
	onChosen,
	children,
}: {
	readonly isFolder: boolean;
	readonly onChosen: (files: FileList) => void;
	readonly children: string;
}) {
	const input = useRef<HTMLInputElement>(null);
	const open = () => {
		if (input.current === null) return;
		input.current.webkitdirectory = isFolder;
		input.current.click();
	};
	return (
		<>
			<button type="button" class="button" onClick={open}>
				{children}
			</button>
			<input
				ref={input}
				type="file"
				hidden
				multiple
				aria-label={children}
				onChange={({ currentTarget }) => {
					const { files } = currentTarget;
					if (files?.length) onChosen(files);
				}}
			/>
		</>
	);
}
