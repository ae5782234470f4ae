/** Enter sends; with shift it begins a line; within an input method it chooses a word. */
export function sendsWith(event: KeyboardEvent): boolean {
	return event.key === "Enter" && !event.shiftKey && !event.isComposing;
}
