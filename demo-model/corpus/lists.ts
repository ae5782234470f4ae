/** Small lists: "Name three fruits." */
import {
	assistant,
	capitalize,
	type HeldOut,
	type Message,
	renderChat,
	user,
} from "./document.ts";
import { hashText, type Random } from "./random.ts";

const CATEGORIES: Readonly<Record<string, string>> = {
	fruits:
		"apple,pear,plum,banana,orange,lemon,cherry,grape,peach,mango,kiwi,melon",
	vegetables:
		"carrot,potato,onion,cabbage,spinach,pea,bean,leek,pumpkin,celery,beetroot,radish",
	colors:
		"red,blue,green,yellow,black,white,orange,purple,pink,brown,grey,turquoise",
	animals: "cat,dog,horse,cow,sheep,fox,bear,lion,tiger,rabbit,mouse,elephant",
	birds:
		"sparrow,owl,eagle,crow,robin,swan,stork,parrot,pigeon,gull,heron,finch",
	fish: "salmon,trout,carp,tuna,herring,pike,cod,eel,perch,sardine",
	insects: "ant,bee,wasp,fly,beetle,butterfly,moth,cricket,mosquito,ladybug",
	flowers: "rose,tulip,daisy,lily,violet,poppy,sunflower,orchid,iris,carnation",
	trees: "oak,beech,birch,pine,fir,maple,willow,ash,elm,cedar,larch,poplar",
	countries:
		"France,Spain,Italy,Germany,Japan,Brazil,Canada,Egypt,India,Kenya,Norway,Mexico",
	cities:
		"Paris,London,Rome,Berlin,Madrid,Tokyo,Lisbon,Vienna,Oslo,Cairo,Lima,Seoul",
	rivers: "Nile,Danube,Rhine,Amazon,Thames,Seine,Volga,Ganges,Mekong,Congo",
	planets: "Mercury,Venus,Earth,Mars,Jupiter,Saturn,Uranus,Neptune",
	months:
		"January,February,March,April,May,June,July,August,September,October,November,December",
	"days of the week":
		"Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday",
	seasons: "spring,summer,autumn,winter",
	languages:
		"English,French,German,Spanish,Italian,Japanese,Chinese,Arabic,Hindi,Portuguese,Swedish,Greek",
	"programming languages":
		"TypeScript,Python,Rust,C,Java,Go,Kotlin,Swift,Ruby,Haskell,Lua,Zig",
	instruments:
		"piano,violin,flute,guitar,drum,trumpet,harp,cello,clarinet,organ",
	sports:
		"football,tennis,swimming,running,cycling,rowing,boxing,hockey,golf,basketball",
	tools: "hammer,saw,drill,wrench,pliers,screwdriver,axe,chisel,file,shovel",
	"kitchen things": "pot,pan,knife,fork,spoon,plate,cup,bowl,whisk,grater",
	furniture: "chair,table,bed,sofa,desk,shelf,wardrobe,stool,bench,cupboard",
	clothes: "shirt,coat,hat,scarf,sock,shoe,glove,skirt,jacket,belt",
	drinks: "water,milk,tea,coffee,juice,lemonade,cocoa,cider,soda",
	vehicles: "car,bus,train,bicycle,tram,ship,plane,truck,boat,motorcycle",
	jobs: "teacher,baker,nurse,pilot,painter,farmer,doctor,cook,driver,writer",
	metals: "iron,copper,gold,silver,tin,lead,zinc,nickel,aluminium,titanium",
	shapes: "circle,square,triangle,rectangle,oval,hexagon,star,cube,sphere,cone",
	"sampling settings":
		"temperature,top-k,top-p,min-p,seed,stop,presence penalty,frequency penalty,maxTokens",
	"number formats": "f32,f16,bf16,fp8,q8_0,q4_0",
	"parts of a transformer":
		"embedding,attention,feed-forward network,RMSNorm,residual connection,output layer",
};

const NUMBERS = [
	"zero",
	"one",
	"two",
	"three",
	"four",
	"five",
	"six",
	"seven",
	"eight",
];

const ASKS = [
	"Name # %.",
	"name # %",
	"Name # % please.",
	"List # %.",
	"list # %",
	"Give me # %.",
	"Tell me # %.",
	"Can you name # %?",
	"Can you list # %?",
	"Please list # %.",
	"What are # %?",
	"I need # %.",
	"Write down # %.",
	"# % please",
	"Make a list of # %.",
	"Could you give me a list of # %?",
];

/** True for counts of a category that are never trained. */
const isHeldOut = (category: string, count: number): boolean =>
	hashText(`${count} ${category}`) % 8 === 0;

const itemsOf = (category: string): string[] => CATEGORIES[category].split(",");

function request(category: string, count: number, random: Random): string {
	const number = random.chance(0.5) ? String(count) : NUMBERS[count];
	const name =
		category === "colors" && random.chance(0.5) ? "colours" : category;
	const text = random.pick(ASKS).replace("#", number).replace("%", name);
	return capitalize(text) === text || random.chance(0.5)
		? text
		: capitalize(text);
}

export function listTurn(random: Random): Message[] {
	for (;;) {
		const category = random.pick(Object.keys(CATEGORIES));
		const count = random.int(2, 8);
		const items = itemsOf(category);
		if (count > items.length || isHeldOut(category, count)) continue;
		const chosen = random.sample(items, count);
		const lines = chosen.map((item, i) => `${i + 1}. ${item}`);
		return [
			user(request(category, count, random)),
			assistant(lines.join("\n")),
		];
	}
}

export function listDocument(random: Random): string {
	const count = random.int(1, 3);
	return renderChat(
		Array.from({ length: count }, () => listTurn(random)).flat(),
	);
}

export function heldOutLists(random: Random): HeldOut[] {
	const items: HeldOut[] = [];
	for (const category of Object.keys(CATEGORIES)) {
		for (let count = 2; count <= 8; count++) {
			const all = itemsOf(category);
			if (!isHeldOut(category, count) || count > all.length) continue;
			const messages = [user(request(category, count, random))];
			const expected = { items: all, count };
			items.push({
				kind: "list",
				id: `${count}-${category}`,
				messages,
				expected,
			});
		}
	}
	return items;
}
