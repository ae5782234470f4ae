/** Names of people and animals in the corpus, and the ones no training document may contain. */
import { capitalize } from "./document.ts";
import { hashText, type Random } from "./random.ts";

const GIVEN =
	"Ada Aldo Alma Amir Ana Anton Aria Arlo Asha Astrid Basil Bea Bela Bo Bruno Carla Cato Cleo Cora Dario Davi Dina Dora Edda Eli Ella Elio Emil Enzo Esme Ezra Fay Fela Felix Fern Finn Flora Gala Gil Greta Gus Hana Hari Hazel Hugo Ida Idris Igor Ilse Ines Ira Iris Ivo Jada Jana Jasper Jin Joan Jonas Josie Juno Kai Karim Kira Knut Koa Lara Leif Lena Leo Lila Lina Liv Lola Luca Lucy Luna Mabel Maia Malik Mara Marco Mateo Max Maya Mei Mika Mila Milo Mira Nadia Nala Nico Nila Nina Noah Noor Nora Odin Ola Olga Omar Opal Oscar Otis Otto Paco Pari Paz Peggy Pia Pip Poppy Quinn Rafa Ravi Remy Rio Rita Robin Rosa Ruby Rufus Sam Sana Saul Selma Sami Silas Sky Sofia Stella Sven Tara Tessa Theo Tilda Tim Tobi Toby Toma Tove Uma Una Vera Vida Viggo Vito Wanda Willa Yara Yuki Yuri Zara Zeno Zoe Zuri".split(
		" ",
	);

/** Held out: neither stories, chats nor records in the training data may use these. */
export const HELD_OUT_NAMES =
	"Ambra Bertil Corin Delphi Elwin Fabia Gideon Hedda Isolde Jorun Kelda Lorcan Mirella Nestor Orla Pavel Quilla Rowena Sorin Thalia Ulric Verity Wendel Xanthe Yorick Zelda Brisa Callum Dagny Eamon".split(
		" ",
	);

/** Held out too: no training record may name these cities. */
export const HELD_OUT_CITIES =
	"Bilbao Trieste Gdansk Tartu Malmo Cork Leeds Dakar Lusaka Kyoto Busan Cebu Hobart Cusco Cali".split(
		" ",
	);

const ONSETS =
	"A Al An B Bl Br C Ch Cl D Dr E Ed El F Fl Fr G Gl Gr H I Im Is J K Kl Kr L M N O Or Os P Ph Pl Pr Qu R Rh S Sh Sk Sl Sp St T Th Tr U Ul V W Wh X Y Z".split(
		" ",
	);
const VOWELS = "a e i o u a e i o u ai ea ia io ee au oe ou y".split(" ");
const MIDDLES =
	"b c ck d dr f g h j k l lk ll lm lph ld m mb mm n nd ng nn nt nth p r rd rl rr rt rv s sh sk sp ss st str t tr tt v w x y z".split(
		" ",
	);
const ENDINGS =
	"a ad ah am an ana ane ard ark e ed el en ene ent er ess eth ette i ia ic ick ie ild in ina io is ix o olf on or orn oth um us y yn".split(
		" ",
	);
const CONSONANTS = "bcdfghjklmnpqrstvwxz";
const SINGLE_VOWELS = "aeiouy";

const heldOut = new Set([...HELD_OUT_NAMES, ...HELD_OUT_CITIES]);

function madeUpName(random: Random): string {
	if (random.chance(0.6)) {
		const onset = random.pick(ONSETS);
		const start = /[AEIOU]$/.test(onset) ? onset : onset + random.pick(VOWELS);
		const more = random.chance(0.3)
			? random.pick(MIDDLES) + random.pick(VOWELS)
			: "";
		return start + more + random.pick(MIDDLES) + random.pick(ENDINGS);
	}
	// Letters almost at random: names whose pieces the model has never seen side by side.
	let name = "";
	let isVowel = random.chance(0.4);
	for (let i = random.int(2, 6); i >= 0; i--) {
		const letters = isVowel ? SINGLE_VOWELS : CONSONANTS;
		name += letters[random.int(0, letters.length - 1)];
		isVowel = random.chance(0.15) ? isVowel : !isVowel;
	}
	return capitalize(name);
}

/** A name from the list: for whoever the reader did not name. */
export const pickGivenName = (random: Random): string => random.pick(GIVEN);

/** A quarter of the names is from the list, the rest made up, so that the model copies names instead of knowing them. */
export function pickName(random: Random): string {
	if (random.chance(0.25)) return random.pick(GIVEN);
	for (;;) {
		const name = madeUpName(random);
		if (!heldOut.has(name)) return name;
	}
}

/** Girls and boys apart, it is fixed by the name: one that ends in a or e ("she") or o, us and the like ("he"); otherwise by its hash. */
export function pronounOf(name: string, kind: string): "she" | "he" {
	if (kind === "girl") return "she";
	if (kind === "boy") return "he";
	if (/[aey]$/.test(name)) return "she";
	if (/(o|us|or|on|er|ix)$/.test(name)) return "he";
	return hashText(name) % 2 === 0 ? "she" : "he";
}
