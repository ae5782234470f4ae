/** JSON from a sentence: people, products, events, weather and books. */
import {
	assistant,
	type HeldOut,
	type Message,
	renderChat,
	user,
} from "./document.ts";
import { HELD_OUT_CITIES, HELD_OUT_NAMES, pickName } from "./names.ts";
import type { Random } from "./random.ts";

const CITIES =
	"Lisbon Oslo Rome Paris Berlin Madrid Vienna Prague Warsaw Athens Dublin London Cairo Nairobi Lagos Accra Tunis Delhi Mumbai Tokyo Osaka Seoul Hanoi Manila Sydney Perth Lima Quito Bogota Havana Boston Chicago Denver Austin Toronto Montreal Zurich Geneva Porto Seville Turin Naples Lyon Ghent Utrecht Bergen Turku Riga Vilnius Krakow Split Sofia Izmir Amman Muscat Doha".split(
		" ",
	);
const JOBS =
	"teacher baker nurse pilot painter farmer doctor cook driver writer singer lawyer gardener plumber engineer librarian".split(
		" ",
	);
const PETS =
	"cat dog rabbit parrot goldfish hamster pony turtle snake canary".split(" ");
const COLORS =
	"red blue green yellow black white orange purple pink brown grey".split(" ");
const PRODUCTS =
	"lamp chair table book pen bag cup knife bottle shirt coat hat phone clock mirror blanket bike tent rope hammer".split(
		" ",
	);
const EVENTS =
	"concert,meeting,party,lecture,workshop,match,dinner,exam,picnic,parade".split(
		",",
	);
const DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(
	" ",
);
const SKIES = "sunny rainy cloudy windy snowy foggy stormy".split(" ");
const TITLE_STARTS =
	"Silent Golden Lost Hidden Broken Distant Burning Frozen Secret Last".split(
		" ",
	);
const TITLE_ENDS =
	"River Garden Letter Mountain Harbour Winter Mirror Island Forest Clock".split(
		" ",
	);

interface Sample {
	sentence: string;
	fields: Record<string, string | number>;
}

interface Source {
	name(): string;
	city(): string;
}

type Maker = (random: Random, source: Source) => Sample;

const MAKERS: readonly Maker[] = [
	(random, { name, city }) => {
		const fields = { name: name(), age: random.int(3, 99), city: city() };
		const { name: n, age, city: c } = fields;
		const sentence = random.pick([
			`${n} is ${age} and lives in ${c}.`,
			`${n} is ${age} years old and lives in ${c}.`,
			`${n}, aged ${age}, lives in ${c}.`,
			`${n} from ${c} is ${age}.`,
			`In ${c} lives ${n}, who is ${age}.`,
			`My friend ${n} is ${age} and comes from ${c}.`,
		]);
		return { sentence, fields };
	},
	(random, { name, city }) => {
		const fields = { name: name(), job: random.pick(JOBS), city: city() };
		const { name: n, job, city: c } = fields;
		const article = /^[aeiou]/.test(job) ? "an" : "a";
		const sentence = random.pick([
			`${n} is ${article} ${job} in ${c}.`,
			`${n} works as ${article} ${job} in ${c}.`,
			`${n} lives in ${c} and works as ${article} ${job}.`,
			`The ${job} ${n} lives in ${c}.`,
		]);
		return { sentence, fields };
	},
	(random, { name }) => {
		const fields = { owner: name(), pet: random.pick(PETS), name: name() };
		const { owner, pet, name: n } = fields;
		const sentence = random.pick([
			`${owner} has a ${pet} named ${n}.`,
			`${owner} has a ${pet} called ${n}.`,
			`The ${pet} of ${owner} is called ${n}.`,
			`${n} is the ${pet} of ${owner}.`,
		]);
		return { sentence, fields };
	},
	(random) => {
		const fields = {
			product: random.pick(PRODUCTS),
			color: random.pick(COLORS),
			price: random.int(1, 250),
		};
		const { product, color, price } = fields;
		const sentence = random.pick([
			`The ${color} ${product} costs ${price} euros.`,
			`A ${color} ${product} costs ${price} euros.`,
			`The price of the ${color} ${product} is ${price} euros.`,
			`You can buy the ${color} ${product} for ${price} euros.`,
		]);
		return { sentence, fields };
	},
	(random, { city }) => {
		const fields = {
			event: random.pick(EVENTS),
			day: random.pick(DAYS),
			time: `${random.int(7, 22)}:${random.pick(["00", "15", "30", "45"])}`,
			city: city(),
		};
		const { event, day, time, city: c } = fields;
		const sentence = random.pick([
			`The ${event} in ${c} is on ${day} at ${time}.`,
			`On ${day} at ${time} there is a ${event} in ${c}.`,
			`The ${event} starts on ${day} at ${time} in ${c}.`,
		]);
		return { sentence, fields };
	},
	(random, { city }) => {
		const fields = {
			city: city(),
			temperature: random.int(0, 39),
			sky: random.pick(SKIES),
		};
		const { city: c, temperature: t, sky } = fields;
		const sentence = random.pick([
			`It is ${t} degrees and ${sky} in ${c}.`,
			`${c} is ${sky} today with ${t} degrees.`,
			`In ${c} it is ${sky} and ${t} degrees.`,
		]);
		return { sentence, fields };
	},
	(random, { name }) => {
		const fields = {
			title: `The ${random.pick(TITLE_STARTS)} ${random.pick(TITLE_ENDS)}`,
			author: name(),
			year: random.int(1900, 2025),
		};
		const { title, author, year } = fields;
		const sentence = random.pick([
			`${author} wrote "${title}" in ${year}.`,
			`"${title}" by ${author} was published in ${year}.`,
			`The book "${title}" was written by ${author} in ${year}.`,
		]);
		return { sentence, fields };
	},
];

const REQUESTS = [
	"Turn into JSON: %",
	"Turn this into JSON: %",
	"Convert to JSON: %",
	"Make JSON from this sentence: %",
	"Write as JSON: %",
	"Please give me JSON for: %",
	"Extract the data as JSON: %",
	"JSON please: %",
	"json: %",
	"Write the facts as JSON. %",
	"% Turn that into JSON.",
	"% Give me this as JSON.",
	"Parse this and answer in JSON: %",
];

/** One object on one line, with a space after colons and commas. */
export const writeJson = (fields: Record<string, string | number>): string =>
	`{${Object.entries(fields)
		.map(([key, value]) => `"${key}": ${JSON.stringify(value)}`)
		.join(", ")}}`;

const wrap = (sentence: string, random: Random): string =>
	random.pick(REQUESTS).replace("%", () => sentence);

export function recordTurn(random: Random): Message[] {
	const source = {
		name: () => pickName(random),
		// Made-up cities teach copying.
		city: () => (random.chance(0.4) ? random.pick(CITIES) : pickName(random)),
	};
	const { sentence, fields } = random.pick(MAKERS)(random, source);
	return [user(wrap(sentence, random)), assistant(writeJson(fields))];
}

export function recordDocument(random: Random): string {
	const count = random.weighted([
		[3, 1],
		[1, 2],
	] as const);
	return renderChat(
		Array.from({ length: count }, () => recordTurn(random)).flat(),
	);
}

/** Sentences about people and cities that occur in no training sentence. */
export function heldOutRecords(random: Random, count: number): HeldOut[] {
	const source = {
		name: () => random.pick(HELD_OUT_NAMES),
		city: () => random.pick(HELD_OUT_CITIES),
	};
	return Array.from({ length: count }, (_, i) => {
		let maker = random.pick(MAKERS);
		while (maker === MAKERS[3]) maker = random.pick(MAKERS);
		const { sentence, fields } = maker(random, source);
		const messages = [user(wrap(sentence, random))];
		return {
			kind: "json",
			id: `record-${i}`,
			messages,
			expected: { json: fields },
		};
	});
}
