/** Conversations with the model: the list, the one that is open, and how tokens are chosen. */
import "./chat.css";
import "./markdown.css";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Engine } from "../engine.ts";
import { EngineStart } from "../needs-engine.tsx";
import { session } from "../session.ts";
import { AnswerAnnouncer } from "./answer-announcer.tsx";
import { answerLast, type LiveAnswer, liveAnswers } from "./answering.ts";
import { Composer } from "./composer.tsx";
import { ask, askAgain, type Conversation, cutAt } from "./conversation.ts";
import { ConversationList } from "./conversation-list.tsx";
import { current, storageTrouble } from "./conversations.ts";
import { sampling } from "./sampling.ts";
import { SamplingPanel } from "./sampling-panel.tsx";
import { Thread } from "./thread.tsx";

type Side = "none" | "list" | "sampling";

export function ChatPage() {
	const [side, setSide] = useState<Side>("none");
	const engine = session.value.kind === "ready" ? session.value.engine : null;
	const conversation = current.value;
	const live = liveOf(conversation);
	const idle = live === null ? engine : null;
	useEscape(() =>
		side === "none" ? liveOf(current.value)?.stop() : setSide("none"),
	);
	const toggle = (which: Side) => setSide(side === which ? "none" : which);
	const panels = useSideFocus(side);
	return (
		<div class={`chat side-${side}`}>
			<h1 class="hidden-visually">Chat</h1>
			<aside class="chat-list" aria-label="Conversations" ref={panels.list}>
				<ConversationList onChosen={() => setSide("none")} />
			</aside>
			<section class="chat-main" aria-label="Conversation">
				<div class="chat-bar">
					<button
						type="button"
						class="button quiet list-toggle"
						aria-expanded={side === "list"}
						onClick={() => toggle("list")}
					>
						Conversations
					</button>
					<p class="chat-title">
						{conversation.turns.length > 0 && conversation.title}
					</p>
					<button
						type="button"
						class="button quiet"
						aria-expanded={side === "sampling"}
						onClick={() => toggle("sampling")}
					>
						Sampling
					</button>
				</div>
				<Thread
					conversation={conversation}
					onEdit={idle && ((id, text) => edit(idle, conversation, id, text))}
					onAgain={idle && ((id) => again(idle, conversation, id))}
				>
					<Welcome engine={engine} />
				</Thread>
				<AnswerAnnouncer live={live} />
				<div class="chat-foot">
					{storageTrouble.value && <p class="notice">{storageTrouble.value}</p>}
					{engine === null && conversation.turns.length > 0 && <EngineStart />}
					<Composer
						placeholder={placeholderOf(engine)}
						onSend={idle && ((text) => send(idle, conversation, text))}
						onStop={live?.stop ?? null}
					/>
				</div>
			</section>
			{side === "sampling" && (
				<aside
					class="chat-sampling"
					aria-label="Sampling"
					ref={panels.sampling}
				>
					<div class="panel-head">
						<h2>Sampling</h2>
						<button
							type="button"
							class="button quiet"
							onClick={() => setSide("none")}
						>
							Close
						</button>
					</div>
					<SamplingPanel
						conversation={conversation}
						hasChatTemplate={engine?.facts.hasChatTemplate ?? true}
					/>
				</aside>
			)}
		</div>
	);
}

function liveOf({ turns }: Conversation): LiveAnswer | null {
	return liveAnswers.value.get(turns.at(-1)?.id ?? "") ?? null;
}

function send(engine: Engine, conversation: Conversation, text: string): void {
	const asked = ask(conversation, text, engine.facts.modelName, Date.now());
	void answerLast(asked, engine, sampling.value);
}

function edit(
	engine: Engine,
	conversation: Conversation,
	turnId: string,
	text: string,
): void {
	send(engine, cutAt(conversation, turnId), text);
}

function again(
	engine: Engine,
	conversation: Conversation,
	answerId: string,
): void {
	const { modelName } = engine.facts;
	const asked = askAgain(conversation, answerId, modelName, Date.now());
	void answerLast(asked, engine, sampling.value);
}

function placeholderOf(engine: Engine | null): string {
	if (engine === null) return "Start a model first";
	return engine.facts.hasChatTemplate ? "Message" : "A text to continue";
}

/** A panel that is opened gets the focus, and gives it back to what opened it. */
function useSideFocus(side: Side) {
	const list = useRef<HTMLElement>(null);
	const sampling = useRef<HTMLElement>(null);
	const opener = useRef<HTMLElement | null>(null);
	useLayoutEffect(() => {
		if (side === "none") {
			opener.current?.focus();
			opener.current = null;
			return;
		}
		opener.current ??= document.activeElement as HTMLElement | null;
		const panel = side === "list" ? list.current : sampling.current;
		panel?.querySelector<HTMLElement>("button, textarea")?.focus();
	}, [side]);
	return { list, sampling };
}

/** Heard from the render on, not from the frame after it: an answer may begin in between. */
function useEscape(onEscape: () => void): void {
	useLayoutEffect(() => {
		const onKeyDown = ({ key, defaultPrevented }: KeyboardEvent) => {
			if (key === "Escape" && !defaultPrevented) onEscape();
		};
		document.addEventListener("keydown", onKeyDown);
		return () => document.removeEventListener("keydown", onKeyDown);
	});
}

function Welcome({ engine }: { readonly engine: Engine | null }) {
	if (engine === null) return <EngineStart />;
	const { modelName, hasChatTemplate, place } = engine.facts;
	return (
		<div class="welcome">
			<h2>{modelName.split("/").at(-1)}</h2>
			<p class="hint">
				{place === "tab"
					? "It runs in this tab; nothing you write leaves it."
					: "It runs on the server you chose; what you write is sent there."}
			</p>
			{!hasChatTemplate && (
				<p class="notice">
					This model has no chat template: it was not made for conversations. It
					continues the text you write instead.
				</p>
			)}
		</div>
	);
}
