/** Names of people and animals in the corpus, and the ones no training document may contain. */
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
	"B Br C Ch D Dr F Fl G Gr H J K Kr L M N P Pr R S Sh St T Th Tr V W Y Z".split(
		" ",
	);
const VOWELS = "a e i o u ai ea ia io ee".split(" ");
const MIDDLES =
	"b d f g l ll m mm n nn nd nt p r rr rl rv s ss sh st t tt v x z lm".split(
		" ",
	);
const ENDINGS = "a e i o y an en in on er ia el us ix or is".split(" ");

const heldOut = new Set([...HELD_OUT_NAMES, ...HELD_OUT_CITIES]);

/** Half of the names are from the list, half are made up, so that the model copies names instead of knowing them. */
export function pickName(random: Random): string {
	if (random.chance(0.5)) return random.pick(GIVEN);
	for (;;) {
		const name =
			random.pick(ONSETS) +
			random.pick(VOWELS) +
			random.pick(MIDDLES) +
			random.pick(ENDINGS);
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
