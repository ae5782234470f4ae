/** Copies a text, and says for a moment whether it could. */
import { useState } from "preact/hooks";

const SAID_MS = 1500;

export function CopyButton({
	text,
	label,
}: {
	readonly text: string;
	readonly label: string;
}) {
	const [said, setSaid] = useState(label);
	const copy = async () => {
		const copied = await navigator.clipboard.writeText(text).then(
			() => true,
			() => false,
		);
		setSaid(copied ? "Copied" : "Not allowed");
		setTimeout(() => setSaid(label), SAID_MS);
	};
	return (
		<button type="button" class="button quiet" onClick={copy}>
			{said}
		</button>
	);
}
