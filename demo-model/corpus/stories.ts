/** Short stories in which names, animals, things and places stay what they are. */
import {
	assistant,
	capitalize,
	type HeldOut,
	type Message,
	renderChat,
	renderPlain,
	user,
} from "./document.ts";
import { HELD_OUT_NAMES, pickGivenName, pickName, pronounOf } from "./names.ts";
import {
	ADJECTIVES,
	DETAILS,
	ENDINGS,
	FRIENDS,
	INTROS,
	KINDS_OF_HERO,
	NOUNS,
	PLACES,
	PLOTS,
	TRAITS,
} from "./plots.ts";
import { hashText, type Random } from "./random.ts";

interface Cast {
	hero: string;
	kind: string;
	companion: string;
	companionKind: string;
	adjective: string;
	noun: string;
	place: string;
	trait: string;
}

/** True for heroes that no training story puts into this place. */
export const isHeldOutScene = (kind: string, place: string): boolean =>
	hashText(`${kind} in ${place}`) % 12 === 0;

function pickCast(
	random: Random,
	heroName: (random: Random) => string,
	companionName: (random: Random) => string,
	held = false,
): Cast {
	for (;;) {
		const [kind, companionKind] = random.sample(KINDS_OF_HERO, 2);
		const place = random.pick(PLACES);
		if (isHeldOutScene(kind, place) !== held) continue;
		const hero = heroName(random);
		const companion = companionName(random);
		if (hero === companion) continue;
		return {
			hero,
			kind,
			companion,
			companionKind,
			adjective: random.pick(ADJECTIVES),
			noun: random.pick(NOUNS),
			place,
			trait: random.pick(TRAITS),
		};
	}
}

const withArticle = (words: string): string =>
	`${/^[aeiou]/.test(words) ? "an" : "a"} ${words}`;

function fill(template: string, cast: Cast): string {
	const he = pronounOf(cast.hero, cast.kind);
	const [his, him] = he === "he" ? ["his", "him"] : ["her", "her"];
	const values: Record<string, string> = {
		H: cast.hero,
		k: cast.kind,
		C: cast.companion,
		c: cast.companionKind,
		o: withArticle(`${cast.adjective} ${cast.noun}`),
		n: cast.noun,
		p: cast.place,
		t: cast.trait,
		he,
		his,
		him,
		He: capitalize(he),
		His: capitalize(his),
	};
	return template
		.replace(/\{(\w+)\}/g, (_, slot: string) => values[slot])
		.replace(/\b([Aa]) (?=[aeiou])/g, "$1n ");
}

/** Paragraphs of a story with this cast. */
function tell(cast: Cast, random: Random): string {
	const beats = random.pick(PLOTS).map((ways) => random.pick(ways));
	const details = random.sample(DETAILS, random.int(0, 3));
	const start = [random.pick(INTROS), random.pick(FRIENDS), ...details];
	const half = random.int(3, 4);
	const paragraphs = [
		start,
		beats.slice(0, half),
		[...beats.slice(half), random.pick(ENDINGS)],
	];
	return paragraphs
		.map((sentences) => sentences.map((line) => fill(line, cast)).join(" "))
		.join("\n\n");
}

const VERBS = [
	"Tell me",
	"Write",
	"Please tell me",
	"Please write",
	"Can you tell me",
	"Could you write",
	"I would like to hear",
	"I want",
	"Make up",
	"tell me",
	"write me",
	"Give me",
	"Invent",
];
const TALES = [
	"a story",
	"a short story",
	"a tale",
	"a bedtime story",
	"a little story",
	"a nice story",
	"a fairy tale",
];

/** What a request says about its story; the rest is the writer's choice. */
type Wish =
	| "nothing"
	| "kind"
	| "hero"
	| "companion"
	| "object"
	| "place"
	| "all";

function request(cast: Cast, wish: Wish, random: Random): string {
	const called = random.pick(["named", "called"]);
	const hero = random.chance(0.75)
		? `a {k} ${called} {H}`
		: random.pick(["{H} the {k}", "a {t} {k} named {H}", "{H}, a {k}"]);
	const companion = ` and ${random.chance(0.7) ? "{his} friend {C}, a {c}" : `a {c} ${called} {C}`}`;
	const object = random.pick([" who finds {o}", " and {o}", " with {o}"]);
	const place = random.pick([" in {p}", " who lives in {p}"]);
	const about = {
		nothing: "",
		kind: " about a {k}",
		hero: ` about ${hero}`,
		companion: ` about ${hero}${companion}`,
		object: ` about ${hero}${object}`,
		place: ` about ${hero}${place}`,
		all: ` about ${hero}${companion}, and ${random.pick(["about", "with"])} {o}`,
	}[wish];
	const text = fill(
		`${random.pick(VERBS)} ${random.pick(TALES)}${about}`,
		cast,
	);
	return text + random.pick([".", ".", ".", "", "!", ", please."]);
}

const WISHES = [
	[1, "nothing"],
	[1, "kind"],
	[5, "hero"],
	[3, "companion"],
	[3, "object"],
	[2, "place"],
	[1, "all"],
] as const;

export function storyTurn(random: Random): Message[] {
	const wish = random.weighted<Wish>(WISHES);
	// Names of the user's choice may be anything, names of the model's choice are common ones.
	const heroName =
		wish === "nothing" || wish === "kind" ? pickGivenName : pickName;
	const companionName =
		wish === "companion" || wish === "all" ? pickName : pickGivenName;
	const cast = pickCast(random, heroName, companionName);
	const text = request(cast, wish, random);
	return [user(text), assistant(tell(cast, random))];
}

export function storyDocument(random: Random): string {
	if (random.chance(0.6)) return renderChat(storyTurn(random));
	const companionName = random.chance(0.4) ? pickName : pickGivenName;
	return renderPlain(tell(pickCast(random, pickName, companionName), random));
}

/** Stories with names and scenes never trained on, two thirds asked for in a chat, one third begun as plain text. */
export function heldOutStories(random: Random, count: number): HeldOut[] {
	const items: HeldOut[] = [];
	for (let i = 0; i < count; i++) {
		const name = (r: Random) => r.pick(HELD_OUT_NAMES);
		const cast = pickCast(random, name, name, true);
		const { hero, companion, noun } = cast;
		const id = `${hero}-${cast.kind.replace(" ", "-")}-${i}`;
		if (i % 3 === 0) {
			const start = `${random.pick(INTROS)} ${random.pick(FRIENDS)}`;
			const expected = {
				words: { [hero]: 2, [companion]: 2 },
				names: [hero, companion],
			};
			items.push({ kind: "story", id, prompt: fill(start, cast), expected });
			continue;
		}
		const wish = random.pick<Wish>(["hero", "companion", "object", "all"]);
		const words: Record<string, number> = { [hero]: 3 };
		const companionKnown = wish === "companion" || wish === "all";
		if (companionKnown) words[companion] = 2;
		if (wish === "object" || wish === "all") words[noun] = 1;
		const messages = [user(request(cast, wish, random))];
		const names = companionKnown ? [hero, companion] : [];
		items.push({ kind: "story", id, messages, expected: { words, names } });
	}
	return items;
}
