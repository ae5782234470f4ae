/**
 * A block of markdown → nodes that are safe on a page. HTML in an answer is shown as text; pictures are links, as fetching one tells
 * its server that it was seen; what is left goes through DOMPurify.
 */
import DOMPurify from "dompurify";
import { Marked, type Token } from "marked";
import { highlight } from "./highlight.ts";

/** Longer code is coloured when it is complete. */
const MAX_GROWING_CODE = 4000;

const ALLOWED = {
	ALLOWED_TAGS: [
		...["h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote"],
		...["ul", "ol", "li", "strong", "em", "del", "code", "pre", "span", "a"],
		...["table", "thead", "tbody", "tr", "th", "td", "input"],
	],
	ALLOWED_ATTR: ["href", "title", "class", "start", "align", "data-language"],
	ADD_ATTR: ["type", "checked", "disabled"],
	ALLOW_DATA_ATTR: false,
	ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
	RETURN_DOM_FRAGMENT: true as const,
};

const renderer = (isGrowing: boolean) =>
	new Marked({
		gfm: true,
		renderer: {
			html: ({ text }) => escapeHtml(text),
			image: ({ href, text, title }) =>
				`<a href="${escapeHtml(href)}">${escapeHtml(text || title || href)}</a>`,
			code({ text, lang = "" }) {
				const language = lang.split(/\s/)[0];
				const html =
					isGrowing && text.length > MAX_GROWING_CODE
						? null
						: highlight(text, language);
				return `<pre data-language="${escapeHtml(language)}"><code>${html ?? escapeHtml(text)}</code></pre>`;
			},
		},
	});

const growing = renderer(true);
const complete = renderer(false);

/** @param isGrowing whether the block may still change */
export function markdownNodes(
	tokens: readonly Token[],
	isGrowing: boolean,
): DocumentFragment {
	const html = (isGrowing ? growing : complete).parser([...tokens]);
	const nodes = DOMPurify.sanitize(html, ALLOWED);
	for (const pre of nodes.querySelectorAll("pre")) addCodeBar(pre);
	for (const link of nodes.querySelectorAll("a")) {
		link.target = "_blank";
		link.rel = "noopener noreferrer nofollow";
	}
	for (const table of nodes.querySelectorAll("table")) wrapScrolling(table);
	for (const box of nodes.querySelectorAll("input")) {
		box.type = "checkbox";
		box.disabled = true;
		box.setAttribute("aria-label", box.checked ? "done" : "to do");
	}
	return nodes;
}

/** Its language and a button that copies it. */
function addCodeBar(pre: HTMLPreElement): void {
	const figure = document.createElement("div");
	figure.className = "code";
	const bar = document.createElement("div");
	bar.className = "code-bar";
	const name = document.createElement("span");
	name.textContent = pre.dataset.language || "text";
	const copy = document.createElement("button");
	copy.type = "button";
	copy.className = "button quiet";
	copy.textContent = "Copy";
	copy.setAttribute("aria-label", `Copy ${name.textContent} code`);
	copy.addEventListener("click", () => copyCode(copy, pre.textContent ?? ""));
	bar.append(name, copy);
	pre.tabIndex = 0; // scrolled by the keyboard
	pre.setAttribute("role", "region");
	pre.setAttribute("aria-label", `${name.textContent} code`);
	pre.replaceWith(figure);
	figure.append(bar, pre);
}

const COPIED_MS = 1500;

async function copyCode(button: HTMLElement, text: string): Promise<void> {
	const copied = await navigator.clipboard.writeText(text).then(
		() => true,
		() => false,
	);
	button.textContent = copied ? "Copied" : "Not allowed";
	setTimeout(() => {
		button.textContent = "Copy";
	}, COPIED_MS);
}

function wrapScrolling(table: HTMLTableElement): void {
	const scroller = document.createElement("div");
	scroller.className = "scroller";
	scroller.tabIndex = 0;
	scroller.setAttribute("role", "region");
	scroller.setAttribute("aria-label", "Table");
	table.replaceWith(scroller);
	scroller.append(table);
}

function escapeHtml(text: string): string {
	const names: Readonly<Record<string, string>> = {
		"&": "&amp;",
		"<": "&lt;",
		">": "&gt;",
		'"': "&quot;",
		"'": "&#39;",
	};
	return text.replace(/[&<>"']/g, (character) => names[character]);
}
