/** Models this browser keeps, with their sizes: load or delete them. */
import { useEffect, useRef, useState } from "preact/hooks";
import {
	type CachedModel,
	deleteCachedModel,
	listCachedModels,
} from "../../../src/browser.ts";
import { ConfirmDialog } from "../confirm-dialog.tsx";
import { BUNDLED } from "../engine-choice.ts";
import { megabytes } from "../load-progress.tsx";
import { session, startEngine } from "../session.ts";

export function CachedModels() {
	const [models, setModels] = useState<readonly CachedModel[]>([]);
	const [doomed, setDoomed] = useState<CachedModel | null>(null);
	const [trouble, setTrouble] = useState<string | null>(null);
	const numLists = useRef(0);
	const list = async () => {
		const number = ++numLists.current;
		const found = await listCachedModels().catch((error) => {
			setTrouble(error.message);
			return [];
		});
		// An older look may end later.
		if (number === numLists.current) setModels(found);
	};
	const { kind } = session.value;
	// A load that ended, well or not, may have left something.
	useEffect(() => void list(), [kind]);
	const remove = (model: CachedModel) =>
		deleteCachedModel(model)
			.then(() => setTrouble(null))
			.catch((error) => setTrouble(error.message))
			.then(list);
	if (models.length === 0 && trouble === null) return null;
	return (
		<section class="engine-start" aria-labelledby="cached">
			<h2 id="cached">Kept in this browser</h2>
			<ul class="cached">
				{models.map((model) => (
					<Entry key={model.folder} model={model} onDelete={setDoomed} />
				))}
			</ul>
			{trouble && (
				<p class="notice error" role="alert">
					{trouble}
				</p>
			)}
			{doomed && (
				<ConfirmDialog
					question={`Delete ${nameOf(doomed)}?`}
					detail={`This frees ${megabytes(doomed.sizeBytes)}.`}
					action="Delete"
					onConfirm={() => void remove(doomed)}
					onClose={() => setDoomed(null)}
				/>
			)}
		</section>
	);
}

function Entry({
	model,
	onDelete,
}: {
	readonly model: CachedModel;
	readonly onDelete: (model: CachedModel) => void;
}) {
	const load = () =>
		startEngine({ ...BUNDLED, model: { kind: "named", name: model.model } });
	return (
		<li>
			<span class="cached-name">{nameOf(model)}</span>
			<span class="hint">
				{megabytes(model.sizeBytes)}
				{!model.isComplete && ", not complete"}
			</span>
			<button
				type="button"
				class="button"
				aria-label={`Load ${nameOf(model)}`}
				onClick={load}
			>
				{model.isComplete ? "Load" : "Go on"}
			</button>
			<button
				type="button"
				class="button"
				aria-label={`Delete ${nameOf(model)}`}
				onClick={() => onDelete(model)}
			>
				Delete
			</button>
		</li>
	);
}

/** A copy of the reader's files goes by its folder's name. */
function nameOf({ model, source }: CachedModel): string {
	return source === "files" ? (model.split("/").at(-1) ?? model) : model;
}
