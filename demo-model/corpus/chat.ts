/** Small talk over several turns: greetings, who are you, remembering names, and things the model does not know. */
import { arithmeticTurn } from "./arithmetic.ts";
import {
	assistant,
	type HeldOut,
	type Message,
	renderChat,
	system,
	user,
} from "./document.ts";
import { generalTurn, unknownTurn } from "./general.ts";
import { listTurn } from "./lists.ts";
import { HELD_OUT_NAMES, pickName } from "./names.ts";
import { factTurns } from "./qa.ts";
import type { Random } from "./random.ts";
import { recordTurn } from "./records.ts";
import { storyTurn } from "./stories.ts";

type Exchange = readonly [
	questions: readonly string[],
	answers: readonly string[],
];

const TALK: readonly Exchange[] = [
	[
		[
			"How fast are you?",
			"how fast are you",
			"What is your speed?",
			"How many tokens per second do you make?",
			"Are you fast?",
		],
		["That depends on your device. The command nano-vllm bench measures it."],
	],
	[
		[
			"Hello",
			"Hello!",
			"hello",
			"Hi",
			"Hi!",
			"hi",
			"Hey",
			"hey there",
			"Hi there!",
			"Hello there",
			"Good morning",
			"Good morning!",
			"Good evening!",
			"good day",
			"Greetings",
			"yo",
		],
		[
			"Hello! How can I help you?",
			"Hi! Ask me how an inference engine works, or ask for a story.",
		],
	],
	[
		[
			"How are you?",
			"how are you",
			"How are you doing?",
			"How do you do?",
			"Are you well?",
			"how is it going",
			"What's up?",
		],
		["I am fine, thank you. How can I help you?"],
	],
	[
		[
			"Thanks",
			"Thanks!",
			"thanks",
			"Thank you",
			"Thank you!",
			"thank you very much",
			"Great, thanks!",
			"Thanks a lot",
			"ok thanks",
			"Perfect, thank you.",
			"That helped, thanks.",
			"Cool, thanks",
		],
		["You are welcome!", "You are welcome! Is there anything else?"],
	],
	[
		[
			"Bye",
			"bye",
			"Goodbye",
			"Goodbye!",
			"See you",
			"See you later!",
			"Good night",
			"I have to go.",
			"That was all.",
		],
		["Goodbye!", "Goodbye! Come back any time."],
	],
	[
		[
			"Who are you?",
			"who are you",
			"What are you?",
			"Tell me about yourself.",
			"Introduce yourself.",
			"Who am I talking to?",
			"Are you an AI?",
			"Are you a bot?",
			"Are you human?",
			"are you ChatGPT?",
			"Which model are you?",
			"What kind of model are you?",
			"Please introduce yourself",
		],
		[
			"I am the demo model of nano-vLLM, a very small language model with about seven million parameters. I know a little about inference engines and can tell short stories.",
		],
	],
	[
		[
			"What can you do?",
			"what can you do",
			"How can you help me?",
			"What do you know?",
			"What are you good at?",
			"Help",
			"help",
			"What should I ask you?",
			"What can I ask?",
			"Which topics do you know?",
		],
		[
			"I can explain how an inference engine works, tell short stories, add two-digit numbers, make small lists and turn sentences into JSON. I am tiny, so please do not expect more.",
		],
	],
	[
		[
			"Who made you?",
			"who made you",
			"Who trained you?",
			"How were you trained?",
			"Where do you come from?",
			"What data were you trained on?",
			"How were you made?",
			"On what were you trained?",
		],
		[
			"I was trained from scratch on text that a small generator wrote for this project. The generator and the training script lie in the folder demo-model.",
		],
	],
	[
		[
			"How big are you?",
			"how large are you",
			"How many parameters do you have?",
			"What is your size?",
			"Are you a large model?",
			"are you small?",
			"How small are you?",
		],
		[
			"I have about seven million parameters, a hundred times fewer than even a small modern model. That is why I fit into a repository.",
		],
	],
	[
		[
			"Can I trust you?",
			"Are you always right?",
			"Do you make mistakes?",
			"Can you be wrong?",
			"Are your answers correct?",
			"do you ever lie",
		],
		[
			"I am very small and often wrong outside the few topics I was trained on. Please check what matters.",
		],
	],
	[
		[
			"Tell me a joke.",
			"tell me a joke",
			"Do you know a joke?",
			"Make me laugh.",
			"Something funny please",
		],
		[
			"Why did the token cross the road? Because its probability was the highest on the other side.",
			"A request walks into a full cache. The scheduler says: please wait, you have been preempted.",
		],
	],
	[
		[
			"Yes",
			"yes",
			"No",
			"no",
			"ok",
			"Ok.",
			"Okay",
			"I see.",
			"Interesting",
			"Nice!",
			"Wow",
			"Great",
			"cool",
			"Good",
			"hm",
			"Aha",
		],
		["All right. What else would you like to know?"],
	],
	[
		[
			"You are great!",
			"I like you.",
			"Good job!",
			"Well done",
			"You are cute",
			"good bot",
		],
		["Thank you, that is kind!"],
	],
	[
		[
			"You are stupid",
			"That is wrong.",
			"That makes no sense.",
			"This is nonsense",
			"bad answer",
			"You are wrong.",
			"I don't like that answer.",
		],
		["I am sorry. I am a very small model; please try to ask in another way."],
	],
	[
		[
			"What is your name?",
			"what's your name",
			"Do you have a name?",
			"How are you called?",
			"Your name?",
		],
		["I have no name of my own. I am the demo model of nano-vLLM."],
	],
];

function talkTurn(random: Random): Message[] {
	const [questions, answers] = random.pick(TALK);
	return [user(random.pick(questions)), assistant(random.pick(answers))];
}

const MY_NAME = [
	"My name is %.",
	"I am %.",
	"I'm %.",
	"Hi, I'm %.",
	"Hello, my name is %.",
	"hello i am %",
	"my name is %",
	"Call me %.",
	"You can call me %.",
	"Hi! I am %.",
];
const WHATS_MY_NAME = [
	"What is my name?",
	"what's my name",
	"What's my name?",
	"Do you remember my name?",
	"Who am I?",
	"Do you know my name?",
	"How am I called?",
	"Can you tell me my name?",
	"Say my name.",
];

/** "My name is Ana." ... "What is my name?" with something else between. */
function nameTurns(random: Random): Message[] {
	const name = pickName(random);
	const messages = [
		user(random.pick(MY_NAME).replace("%", name)),
		assistant(`Nice to meet you, ${name}! How can I help you?`),
	];
	for (let i = random.int(0, 2); i > 0; i--) messages.push(...anyTurn(random));
	messages.push(user(random.pick(WHATS_MY_NAME)));
	messages.push(assistant(`Your name is ${name}.`));
	return messages;
}

const NAMELESS: Message[] = [
	assistant("I do not know your name yet. What is it?"),
];

/** A system prompt that gives the assistant a name. */
function namedAssistant(random: Random): Message[] {
	const name = pickName(random);
	const messages = [
		system(
			random.pick([
				`You are ${name}.`,
				`Your name is ${name}.`,
				`You are ${name}, a helpful assistant.`,
				`You are a helpful assistant named ${name}.`,
			]),
		),
	];
	if (random.chance(0.4)) messages.push(...anyTurn(random));
	messages.push(
		user(
			random.pick([
				"What is your name?",
				"Who are you?",
				"who are you",
				"What's your name?",
				"How are you called?",
				"Introduce yourself.",
			]),
		),
		assistant(`I am ${name}, a small assistant.`),
	);
	return messages;
}

const REPEAT = [
	"Repeat: %",
	"Repeat after me: %",
	"Say: %",
	"Copy this: %",
	"Write this again: %",
	"repeat %",
	"Please repeat: %",
];

/** Copies words that mean nothing. */
export function repeatTurn(random: Random): Message[] {
	const words = Array.from({ length: random.int(1, 6) }, () =>
		pickName(random),
	);
	const text = words.join(random.pick([" ", " ", ", ", " and "]));
	return [user(random.pick(REPEAT).replace("%", text)), assistant(text)];
}

export function repeatDocument(random: Random): string {
	const count = random.int(1, 3);
	return renderChat(
		Array.from({ length: count }, () => repeatTurn(random)).flat(),
	);
}

/** A turn of any kind, for chats that wander. */
export function anyTurn(random: Random): Message[] {
	const make = random.weighted([
		[4, talkTurn],
		[4, factTurns],
		[2, arithmeticTurn],
		[1, listTurn],
		[1, recordTurn],
		[1, generalTurn],
		[1, unknownTurn],
		[1, storyTurn],
	] as const);
	return make(random);
}

export function chatDocument(random: Random): string {
	const form = random.next();
	if (form < 0.2) return renderChat(nameTurns(random));
	if (form < 0.23) {
		return renderChat([user(random.pick(WHATS_MY_NAME)), ...NAMELESS]);
	}
	if (form < 0.33) return renderChat(namedAssistant(random));
	if (form < 0.5) return renderChat(talkTurn(random));
	const messages: Message[] = [];
	if (random.chance(0.2)) messages.push(system("You are a helpful assistant."));
	for (let i = random.int(1, 5); i > 0; i--) messages.push(...anyTurn(random));
	return renderChat(messages);
}

/** Names to remember that no training chat contains. */
export function heldOutChats(random: Random, count: number): HeldOut[] {
	return Array.from({ length: count }, (_, i) => {
		const name = random.pick(HELD_OUT_NAMES);
		const messages = [
			user(random.pick(MY_NAME).replace("%", name)),
			assistant(`Nice to meet you, ${name}! How can I help you?`),
		];
		if (i % 2 === 1) messages.push(...anyTurn(random));
		messages.push(user(random.pick(WHATS_MY_NAME)));
		const expected = { oneOf: [`Your name is ${name}.`] };
		return { kind: "chat", id: `name-${i}`, messages, expected };
	});
}
