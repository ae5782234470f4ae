/** The frame around the pages: where one can go, which engine answers, light or dark. */
import "./shell.css";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { ChatPage } from "./chat/chat-page.tsx";
import { EngineChip } from "./engine-chip.tsx";
import { InspectorPage } from "./inspector/inspector-page.tsx";
import { NeedsEngine } from "./needs-engine.tsx";
import { PlaygroundPage } from "./playground/playground-page.tsx";
import { PAGES, type Page, page } from "./route.ts";
import { reloadEngine } from "./session.ts";
import { SettingsPage } from "./settings/settings-page.tsx";
import { nextTheme, theme } from "./theme.ts";

const TITLES: Readonly<Record<Page, string>> = {
	chat: "Chat",
	inspector: "Inspector",
	playground: "Playground",
	settings: "Settings",
};

export function Shell() {
	const main = useRef<HTMLElement>(null);
	const title = TITLES[page.value];
	useEffect(() => {
		document.title = `${title} · nano-vLLM`;
	}, [title]);
	return (
		<div class="shell">
			<button
				type="button"
				class="button skip"
				onClick={() => main.current?.focus()}
			>
				Skip to content
			</button>
			<header class="bar">
				<a class="wordmark" href="#/chat">
					nano-vLLM
				</a>
				<nav class="places" aria-label="Pages">
					{PAGES.map((it) => (
						<a
							key={it}
							href={`#/${it}`}
							aria-current={it === page.value ? "page" : undefined}
						>
							{TITLES[it]}
						</a>
					))}
				</nav>
				<div class="bar-end">
					<EngineChip />
					<ThemeButton />
				</div>
			</header>
			<main class="page" ref={main} tabIndex={-1}>
				<CurrentPage />
			</main>
		</div>
	);
}

function CurrentPage(): ComponentChildren {
	switch (page.value) {
		case "chat":
			return <ChatPage />;
		case "inspector":
			return (
				<NeedsEngine>
					{(engine) => <InspectorPage engine={engine} />}
				</NeedsEngine>
			);
		case "playground":
			return (
				<NeedsEngine>
					{(engine) => (
						<PlaygroundPage
							engine={engine}
							reload={engine.facts.place === "tab" ? reloadEngine : null}
						/>
					)}
				</NeedsEngine>
			);
		case "settings":
			return <SettingsPage />;
		default:
			return page.value satisfies never;
	}
}

function ThemeButton() {
	const names = { system: "as the system", light: "light", dark: "dark" };
	const label = `Colours: ${names[theme.value]}. Change to ${names[nextTheme(theme.value)]}`;
	return (
		<button
			type="button"
			class="button quiet"
			aria-label={label}
			title={label}
			onClick={() => {
				theme.value = nextTheme(theme.value);
			}}
		>
			<ThemeIcon />
		</button>
	);
}

/** A disc: outlined in light, full in dark, half of each as the system. */
function ThemeIcon() {
	const fills = {
		system: "M8 2a6 6 0 0 1 0 12z",
		light: "",
		dark: "M8 2a6 6 0 0 1 0 12a6 6 0 0 1 0-12z",
	};
	return (
		<svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
			<circle
				cx="8"
				cy="8"
				r="6"
				fill="none"
				stroke="currentColor"
				stroke-width="1.5"
			/>
			<path d={fills[theme.value]} fill="currentColor" />
		</svg>
	);
}
