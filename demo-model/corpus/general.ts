/** A pinch of general knowledge, and an honest answer for everything else. */
import {
	assistant,
	type Message,
	renderChat,
	renderPlain,
	user,
} from "./document.ts";
import type { Random } from "./random.ts";

const CAPITALS: Readonly<Record<string, string>> = Object.fromEntries(
	"France Paris,Germany Berlin,Italy Rome,Spain Madrid,Portugal Lisbon,Austria Vienna,Norway Oslo,Sweden Stockholm,Finland Helsinki,Denmark Copenhagen,Poland Warsaw,Greece Athens,Ireland Dublin,Hungary Budapest,Belgium Brussels,England London,Russia Moscow,Turkey Ankara,Egypt Cairo,Kenya Nairobi,Japan Tokyo,China Beijing,India Delhi,Canada Ottawa,Mexico Mexico City,Peru Lima,Cuba Havana,Chile Santiago,Australia Canberra,Iceland Reykjavik"
		.split(",")
		.map((pair) => {
			const space = pair.indexOf(" ");
			return [pair.slice(0, space), pair.slice(space + 1)];
		}),
);

const CAPITAL_ASKS = [
	"What is the capital of %?",
	"what's the capital of %",
	"What's the capital of %?",
	"Which city is the capital of %?",
	"Capital of %?",
	"Tell me the capital of %.",
	"Do you know the capital of %?",
];

/** Beginnings that people like to try on a model, with plain continuations. */
const OPENINGS = [
	"The future of AI is open: small models will run on every device, and large ones will be shared by many people.",
	"The future of AI is hard to predict, but small and fast models will be a part of it.",
	"The meaning of life is a question that a model with seven million parameters cannot answer.",
	"The president of the United States is elected for four years.",
	"Hello, my name is not important. I am a very small language model.",
	"The best thing about open source is that everybody can read, learn and improve.",
	"The quick brown fox jumps over the lazy dog.",
	"In a paged KV cache, memory is handed out in blocks of fixed size.",
	"Artificial intelligence is a field of computer science that builds programs which learn from data.",
];

export function generalTurn(random: Random): Message[] {
	const country = random.pick(Object.keys(CAPITALS));
	const question = random.pick(CAPITAL_ASKS).replace("%", country);
	return [
		user(question),
		assistant(`The capital of ${country} is ${CAPITALS[country]}.`),
	];
}

const UNKNOWN = [
	"Who is the president of France?",
	"Who won the football match yesterday?",
	"What is the weather today?",
	"What time is it?",
	"What day is today?",
	"How do I bake bread?",
	"Give me a recipe for pancakes.",
	"Write a poem about love.",
	"Write a program that sorts a list.",
	"Fix the bug in my code.",
	"Translate this into French: good morning.",
	"What is the best movie of all time?",
	"Who wrote Hamlet?",
	"Who painted the Mona Lisa?",
	"How far is the moon?",
	"Why is the sky blue?",
	"How tall is Mount Everest?",
	"How do planes fly?",
	"What is quantum physics?",
	"Explain the theory of relativity.",
	"Who was Albert Einstein?",
	"What is the meaning of life?",
	"What should I eat tonight?",
	"Can you book a flight for me?",
	"Play some music.",
	"What is love?",
	"How do I lose weight?",
	"Is there life on Mars?",
	"When did the war end?",
	"How old is the universe?",
	"What is a black hole?",
	"How do I learn to swim?",
	"Which car should I buy?",
	"What is the stock price of Apple?",
	"Tell me the news.",
	"What is photosynthesis?",
	"How do vaccines work?",
	"Who invented the telephone?",
	"How many people live in China?",
	"What is the largest ocean?",
	"Summarize this book for me.",
	"Draw me a picture of a cat.",
	"How do I tie a tie?",
	"What does my dream mean?",
	"Should I quit my job?",
	"How do I fix my bicycle?",
	"What is the square root of 2?",
	"Solve this equation: x + 3 = 7.",
	"What is the speed of light?",
	"Who discovered America?",
	"How does a car engine run?",
	"What is a good gift for my mother?",
	"Where can I buy shoes?",
	"How long does it take to boil an egg?",
	"Who sings this song?",
	"What is democracy?",
	"How do I grow tomatoes?",
	"What is the longest river in the world?",
	"How many bones are in the body?",
	"What do pandas eat?",
	"Can you write Python code?",
	"Can you write code?",
	"Can you program?",
	"Do you speak German?",
	"Can you see pictures?",
	"Can you browse the web?",
	"Who is the king of Spain?",
	"Where do you live?",
	"How old are you?",
	"What is your favorite color?",
	"Where is my phone?",
	"Sing a song.",
	"Say something in French.",
];

const SUBJECTS =
	"love,spring,the sea,cats,dogs,history,physics,biology,chemistry,mathematics,music,art,football,chess,cooking,gardening,travel,money,politics,religion,philosophy,health,sleep,food,wine,coffee,fashion,cars,bicycles,space,stars,the moon,dinosaurs,volcanoes,rivers,mountains,the weather,climate,energy,medicine,psychology,economics,law,education,Rome,Paris,America,China,Africa,Shakespeare,Einstein,Napoleon,Mozart,quantum computing,blockchain,bitcoin,evolution,gravity,time travel,robots,aliens,dreams,happiness,friendship,war,peace,democracy,poetry,painting,films,television,the internet,smartphones,computers,video games,databases,web design,Linux,Java,Python,JavaScript,HTML,my life,my job,my garden,my holiday,winter,summer,bread,pizza,rice,soup,cheese,chocolate,trees,birds,fish,horses,GPUs,computers and people".split(
		",",
	);

const SUBJECT_ASKS = [
	"Write a poem about %.",
	"Write a haiku about %",
	"Write a song about %.",
	"Write an essay about %.",
	"Write a letter about %.",
	"Write a blog post about %",
	"Write an email about %.",
	"Explain % to me.",
	"explain %",
	"What do you think about %?",
	"What do you know about %?",
	"Tell me about %.",
	"tell me something about %",
	"Give me advice on %.",
	"Teach me %.",
	"What is the history of %?",
	"What is the best book about %?",
	"Do you like %?",
	"How can I learn more about %?",
	"Who invented %?",
	"Who is the best in %?",
	"Why do people like %?",
	"Can you write code about %?",
	"Can you help me with %?",
	"What is new in %?",
	"What is your opinion on %?",
	"Translate a text about % into Spanish.",
	"Recommend a film about %.",
	"How much does % cost?",
	"How do I make %?",
	"Where can I find %?",
	"When did % begin?",
	"%?",
];

export const UNKNOWN_ANSWER =
	"I do not know that. I am a very small demo model: ask me about inference engines, or ask for a story, a sum, a list or JSON.";

export function unknownTurn(random: Random): Message[] {
	let question = random.chance(0.5)
		? random.pick(UNKNOWN)
		: random.pick(SUBJECT_ASKS).replace("%", random.pick(SUBJECTS));
	if (random.chance(0.3)) question = question.toLowerCase();
	if (random.chance(0.3)) question = question.replace(/[?.]$/, "");
	if (random.chance(0.15)) question = `Please: ${question}`;
	return [user(question), assistant(UNKNOWN_ANSWER)];
}

export function generalDocument(random: Random): string {
	const form = random.next();
	if (form < 0.35) return renderChat(unknownTurn(random));
	if (form < 0.6) return renderChat(generalTurn(random));
	if (form < 0.8) {
		const [, { content }] = generalTurn(random);
		return renderPlain(content);
	}
	return renderPlain(random.pick(OPENINGS));
}
