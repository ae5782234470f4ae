/** Server-sent events as a fetch body gives them: the data of each, in order. Names, ids and retry times are of no use here. */

/** After the WHATWG HTML standard, section 9.2.6. A last event without its blank line is dropped, as there. */
export async function* eventData(
	body: ReadableStream<Uint8Array>,
): AsyncGenerator<string, void, void> {
	const reader = body.getReader();
	const decoder = new TextDecoder();
	let rest = "";
	let data: string[] = [];
	try {
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return;
			rest += decoder.decode(value, { stream: true });
			// A "\r" at the end may be half of a "\r\n".
			const end = rest.endsWith("\r") ? rest.length - 1 : rest.length;
			const lines = rest.slice(0, end).split(/\r\n|\n|\r/);
			rest = (lines.pop() ?? "") + rest.slice(end);
			for (const line of lines) {
				if (line.startsWith("data:"))
					data.push(line.slice(5).replace(/^ /, ""));
				if (line !== "" || data.length === 0) continue;
				yield data.join("\n");
				data = [];
			}
		}
	} finally {
		await reader.cancel().catch(() => {});
	}
}
