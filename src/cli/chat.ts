/** nano-vllm chat: a conversation in the terminal, answers as they come. */
import type { Command } from "commander";
import { resolveSamplingParams, type SamplingParamsInput } from "../config.ts";
import { NanoVllmError } from "../errors.ts";
import type { LLM, LoraRequest } from "../index.ts";
import { addLoraFlags, namedAdapters } from "./adapters.ts";
import { type Answer, streamAnswer } from "./answer.ts";
import { Conversation } from "./conversation.ts";
import { addEngineFlags, engineOptions } from "./engine-flags.ts";
import { figure, grouped, plural } from "./format.ts";
import { createLineReader, type LineReader } from "./line-reader.ts";
import { addModelFlag, chosenModel, modelLine, openModel } from "./model.ts";
import { addSamplingFlags, samplingOptions } from "./sampling-flags.ts";
import { addStructuredFlags, structuredOptions } from "./structured-flags.ts";
import { note, withInterrupt } from "./terminal.ts";

const EXAMPLES = `
In the chat:
  /reset         forget the conversation
  /system TEXT   a new conversation with this system message
  /stats         speed and tokens in context
  /help, /exit   Ctrl-C stops an answer; at the prompt, Ctrl-C or Ctrl-D leaves

Examples:
  nano-vllm chat
  nano-vllm chat ./my-model --system "Answer in one sentence." --temperature 0.7
  printf 'Hello\\nWhat is a KV cache?\\n' | nano-vllm chat
`;

const COMMANDS =
	"/reset forgets the conversation · /system TEXT starts a new one · /stats tells the speed · /exit leaves · Ctrl-C stops an answer";

interface Options extends Readonly<Record<string, unknown>> {
	readonly model?: string;
	readonly system?: string;
}

export function addChat(program: Command): void {
	const command = program
		.command("chat [model]")
		.description("talk to a model in the terminal")
		.option("--system <text>", "system message")
		.addHelpText("after", EXAMPLES)
		.action((model: string | undefined, options: Options) =>
			chat(model, options),
		);
	addModelFlag(command);
	addLoraFlags(command);
	addSamplingFlags(command);
	addStructuredFlags(command);
	addEngineFlags(command);
}

async function chat(
	model: string | undefined,
	options: Options,
): Promise<void> {
	const given = { ...samplingOptions(options), ...structuredOptions(options) };
	resolveSamplingParams(given); // wrong ones are told before a model is loaded
	const adapters = namedAdapters(options);
	const llm = await withInterrupt((signal) =>
		openModel(
			chosenModel(model, options.model),
			adapters.withRoom(engineOptions(options)),
			signal,
		),
	);
	// As a chat completion: no bound but the context.
	const params = { maxTokens: null, ...llm.defaultSamplingParams, ...given };
	try {
		const lora = adapters.request();
		await new ChatSession(llm, params, lora, options.system ?? null).run();
	} finally {
		await llm.close();
	}
}

class ChatSession {
	readonly #llm: LLM;
	readonly #params: SamplingParamsInput;
	readonly #loraRequest: LoraRequest | null;
	readonly #conversation: Conversation;
	readonly #reader: LineReader;
	/** Stops the answer that is being given; null at the prompt. */
	#answering: AbortController | null = null;
	#last: Answer | null = null;

	constructor(
		llm: LLM,
		params: SamplingParamsInput,
		loraRequest: LoraRequest | null,
		system: string | null,
	) {
		this.#llm = llm;
		this.#params = params;
		this.#loraRequest = loraRequest;
		const { tokenizer } = llm;
		this.#conversation = new Conversation(
			system,
			(text) => tokenizer.encode(text, { addSpecialTokens: false }).length,
		);
		this.#reader = createLineReader(() => this.#interrupt());
	}

	async run(): Promise<void> {
		const context = `${grouped(this.#llm.maxModelLen)} tokens of context`;
		note(`${modelLine(this.#llm)} · ${context} · /help for commands`);
		this.#reader.prompt();
		try {
			for await (const line of this.#reader.lines) {
				this.#reader.mute();
				if ((await this.#take(line.trim())) === "leave") return;
				this.#reader.prompt();
			}
			if (process.stdout.isTTY) process.stdout.write("\n");
		} finally {
			this.#reader.close();
		}
	}

	#interrupt(): void {
		if (this.#answering === null) this.#reader.close();
		else this.#answering.abort();
	}

	async #take(line: string): Promise<"leave" | "stay"> {
		const [, command, rest] = /^\/(\w+)\s*(.*)$/.exec(line) ?? [];
		switch (command) {
			case undefined:
				if (line !== "") await this.#answer(line);
				return "stay";
			case "exit":
			case "quit":
				return "leave";
			case "reset":
				this.#conversation.reset();
				this.#last = null;
				note("the conversation is forgotten.");
				return "stay";
			case "system":
				this.#conversation.setSystem(rest === "" ? null : rest);
				this.#last = null;
				note(
					`a new conversation${rest === "" ? "" : " with this system message"}.`,
				);
				return "stay";
			case "stats":
				note(this.#stats());
				return "stay";
			case "help":
				note(COMMANDS);
				return "stay";
			default:
				note(`there is no /${command}. ${COMMANDS}`, "yellow");
				return "stay";
		}
	}

	async #answer(question: string): Promise<void> {
		this.#conversation.ask(question);
		this.#makeRoom();
		this.#answering = new AbortController();
		try {
			const answer = await this.#stream(this.#answering.signal);
			this.#conversation.answer(answer.text);
			this.#last = answer;
			if (answer.end === "stopped") note("stopped.", "yellow");
			else if (answer.end === "length") note(this.#lengthNote(), "yellow");
		} catch (error) {
			this.#conversation.withdraw();
			if (!isAboutThePrompt(error)) throw error;
			note(`error [${error.code}]: ${error.message}`, "red");
		} finally {
			this.#answering = null;
		}
	}

	/** Tries again without the oldest turn where the estimate was too low and the prompt does not fit. */
	async #stream(signal: AbortSignal): Promise<Answer> {
		for (;;) {
			try {
				const { messages } = this.#conversation;
				return await streamAnswer(
					this.#llm,
					messages,
					this.#params,
					this.#loraRequest,
					signal,
				);
			} catch (error) {
				const tooLong =
					error instanceof NanoVllmError && error.code === "prompt_too_long";
				if (!tooLong || !this.#conversation.dropOldest()) throw error;
				note(this.#droppedNote(1), "yellow");
			}
		}
	}

	/** Keeps a quarter of the context, 256 tokens at most, for the answer. */
	#makeRoom(): void {
		const { maxModelLen } = this.#llm;
		const room = Math.min(256, Math.floor(maxModelLen / 4));
		let numDropped = 0;
		while (
			this.#conversation.numTokens + room > maxModelLen &&
			this.#conversation.dropOldest()
		)
			numDropped++;
		if (numDropped > 0) note(this.#droppedNote(numDropped), "yellow");
	}

	#droppedNote(numTurns: number): string {
		return `the conversation outgrew the context of ${grouped(this.#llm.maxModelLen)} tokens: dropped ${numTurns === 1 ? "the oldest turn" : `the ${numTurns} oldest turns`}.`;
	}

	#lengthNote(): string {
		return `the answer was cut: it reached --max-tokens or the context of ${grouped(this.#llm.maxModelLen)} tokens.`;
	}

	#stats(): string {
		const count = this.#last?.numContextTokens ?? this.#conversation.numTokens;
		const context = `${grouped(count)} of ${grouped(this.#llm.maxModelLen)} tokens in context`;
		if (this.#last === null) return `${context} · no answer yet`;
		const { numTokens, firstMs, endMs } = this.#last;
		const rate = (1000 * (numTokens - 1)) / (endMs - firstMs);
		return `${context} · last answer: ${plural(numTokens, "token")}, first after ${figure(firstMs)} ms, then ${figure(rate)} tok/s`;
	}
}

/** The next question may be better; other errors end the chat. */
const isAboutThePrompt = (error: unknown): error is NanoVllmError =>
	error instanceof NanoVllmError &&
	["prompt_too_long", "invalid_prompt", "invalid_chat_template"].includes(
		error.code,
	);
