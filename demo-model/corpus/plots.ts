/**
 * Sentences of the stories. A plot is a list of beats, a beat a list of ways to tell it.
 * {H} hero, {k} what the hero is, {C} companion, {c} what the companion is, {o} the object with its adjective, {n} the
 * object's noun, {p} the place; {he} {his} {him} follow the hero. No other word inside a sentence has a capital.
 */

export const KINDS_OF_HERO =
	"fox,rabbit,mouse,hedgehog,badger,otter,squirrel,bear,wolf,cat,dog,goat,donkey,owl,crow,sparrow,duck,goose,frog,turtle,beaver,mole,deer,pony,lamb,robot,dragon,giant,boy,girl,baker,fisher,gardener,sailor,painter,clockmaker,baby elephant,young lion,little whale,snail,penguin,panda,horse,tiger,monkey,elephant,kitten,puppy,seal,dolphin,whale,parrot,swan,eagle,kangaroo,koala,camel,chicken,rooster,hamster,lizard,spider,bee,butterfly,crab,octopus,unicorn,witch,wizard,knight,princess,prince,king,queen,pirate,farmer,teacher,doctor,shepherd,miller,carpenter,inventor,musician,ghost,fairy,snowman,train driver,lighthouse keeper".split(
		",",
	);

export const PLACES =
	"a village by the sea,a small town,a dark forest,a quiet valley,a castle on a hill,a house at the lake,a green meadow,an old mill,a city of bridges,a mountain hut,a harbour full of boats,a garden behind a wall,a hut on an island,a barn at the river,a tent on a windy plain,a snowy wood,a lighthouse on a rock,a street of little shops,a cave under the hills,a desert camp,a swamp full of reeds,a library with tall windows,a train station in the hills,an orchard of apple trees".split(
		",",
	);

export const ADJECTIVES =
	"brass,silver,wooden,golden,blue,red,green,tiny,old,shiny,broken,painted,paper,glass,copper,heavy,round,striped,lost,strange".split(
		",",
	);

export const NOUNS =
	"lantern,key,bell,map,compass,kite,drum,button,coin,boat,flute,mirror,hat,scarf,book,feather,stone,cup,clock,lamp,ring,ball,whistle,basket,umbrella,violin,shell,telescope,wheel,box".split(
		",",
	);

export const TRAITS =
	"brave,curious,shy,kind,clever,cheerful,patient,restless,quiet,proud,careful,dreamy,stubborn,gentle,hungry,lively".split(
		",",
	);

export const INTROS = [
	"Once upon a time, in {p}, there lived a {t} {k} named {H}.",
	"Once upon a time there was a {t} {k} named {H} who lived in {p}.",
	"In {p} there lived a {t} {k} called {H}.",
	"There once was a {k} named {H}, and everyone in {p} knew how {t} {he} was.",
	"Long ago, in {p}, a {t} {k} named {H} had a little home.",
	"{H} was a {t} {k} who lived in {p}.",
	"Far away, in {p}, lived {H}, a {t} {k}.",
];

export const FRIENDS = [
	"{His} best friend was {C}, a {c} who was never far away.",
	"{He} did everything together with {C}, a {c}.",
	"Next door lived {C}, a {c}, and the two were best friends.",
	"{H} had one true friend, a {c} named {C}.",
	"Every day {he} met a {c} named {C}, and they talked until dark.",
	"A {c} called {C} was {his} dearest friend.",
];

export const DETAILS = [
	"Every morning {H} opened the window and greeted the day.",
	"In the evening they liked to sit by the door and count the stars.",
	"{C} could laugh so loudly that the birds flew up.",
	"{H} liked to ask questions, and {C} liked to look for answers.",
	"The neighbours said that {H} was the most {t} {k} they had ever met.",
	"Now and then {H} baked a cake, and {C} ate most of it.",
	"There was always something to do, and {H} was never bored.",
	"When it rained, {C} told old tales, and {H} listened with open eyes.",
	"{H} knew every path and every stone around there.",
	"Nothing much ever happened, and {H} was happy with that.",
	"Some said that {C} was too loud, but {H} did not mind.",
	"In summer {H} slept under the open sky and dreamed of far places.",
];

export const PLOTS: readonly (readonly (readonly string[])[])[] = [
	// Lost and found
	[
		[
			"The thing {H} loved most was {o}.",
			"{H} owned {o}, and {he} was very proud of it.",
			"{His} grandmother had given {him} {o}.",
		],
		[
			"One morning the {n} was gone.",
			"But one day, after a storm, the {n} was nowhere to be found.",
			"One evening {he} looked on the shelf, and the {n} was not there.",
		],
		[
			"{H} looked under the bed, behind the door and even in the soup pot.",
			"{He} searched the whole house and then the whole path, but found nothing.",
			"{He} turned every corner upside down and sat down in tears.",
		],
		[
			'"Do not cry," said {C}. "We will look together."',
			'{C} came by and said, "Four eyes see more than two."',
			'"Where did you have it last?" asked {C}.',
		],
		[
			"They followed small marks in the mud until they came to a hollow tree.",
			"They asked everyone they met, and at last a bird pointed to an old well.",
			"They walked back along the way that {H} had gone the day before.",
		],
		[
			"And there lay the {n}, wet but whole.",
			"There it was: the {n}, half covered with leaves.",
			"{C} gave a shout, for the {n} was hanging from a branch.",
		],
		[
			"{H} hugged {C} and dried the {n} with {his} sleeve.",
			"{H} was so glad that {he} danced around {C}.",
			'"Thank you, {C}," said {H}. "Without you I would have given up."',
		],
	],
	// A stranger in need
	[
		[
			"One cold night somebody knocked at the door.",
			"One rainy evening {H} heard a weak voice outside.",
			"On the longest night of winter {H} saw a light moving on the path.",
		],
		[
			"An old traveller stood there, tired and wet, holding {o}.",
			"It was an old woman who carried nothing but {o}.",
			"A stranger with a long coat held up {o} and asked for shelter.",
		],
		[
			"{C} was afraid and hid behind the stove.",
			'"We do not know this person," whispered {C}.',
			"{C} was not sure, but {H} had already opened the door.",
		],
		[
			"{H} made tea and gave the guest the best chair.",
			"{H} shared {his} bread and put more wood on the fire.",
			"{H} brought a warm blanket, and soon {C} brought the soup.",
		],
		[
			"In the morning the guest was gone, but the {n} stood on the table.",
			"When the sun rose, the bed was empty, and the {n} lay on the pillow.",
			"Before leaving, the guest put the {n} into the hands of {H}.",
		],
		[
			"Beside it was a note: for a kind heart.",
			"From that day on the {n} shone whenever somebody was lost.",
			'"It always shows the way home," the guest had said.',
		],
		[
			"{H} and {C} put the {n} in the window for all travellers to see.",
			"{H} kept the {n} close, and {C} never hid from a guest again.",
			'And {C} said to {H}, "Next time I will open the door myself."',
		],
	],
	// A contest
	[
		[
			"Every summer there was a great race, and the prize was {o}.",
			"One day a contest was announced, and the winner would get {o}.",
			"The whole place was talking about the big race for {o}.",
		],
		[
			"{H} wanted to win more than anything.",
			"{H} had never won anything, but {he} wrote {his} name on the list.",
			'"I will try," said {H}, although {his} knees were shaking.',
		],
		[
			"Each morning {he} trained with {C}, who counted the time.",
			"{C} helped {him} to practise from dawn until noon.",
			"{C} showed {him} a shorter way across the stream, and they tried it again and again.",
		],
		[
			"On the day of the race {H} was in front when {C} slipped and fell.",
			"Halfway through, {H} was leading, but then {he} heard {C} call for help.",
			"The end was near when {H} saw that {C} had hurt a foot.",
		],
		[
			"{H} did not think twice and turned around.",
			"{H} stopped at once, though the others ran past.",
			"{He} looked at the finish, looked at {C}, and went back.",
		],
		[
			"Together they came in last, arm in arm.",
			"{He} carried {C} over the line, long after all the others.",
			"They reached the end when the sun was already low.",
		],
		[
			"But the judges gave the {n} to {H}, because helping a friend is harder than running.",
			'The winner walked up to {H} and said, "The {n} belongs to you."',
			"Everyone cheered, and the {n} was given to {H} and {C} together.",
		],
	],
	// Learning something
	[
		[
			"In the attic {H} found {o}, but {he} had no idea how to use it.",
			"One day {H} bought {o} at the market, although {he} did not know what to do with it.",
			"For {his} birthday {H} got {o}, and it was harder to use than {he} had thought.",
		],
		[
			"The first time {he} tried, everything went wrong.",
			"{He} tried all afternoon and only made a mess.",
			"At first {he} failed so badly that the neighbours laughed.",
		],
		[
			'"I will never learn it," sighed {H}.',
			"{H} put the {n} into a corner and did not want to see it.",
			'"It is too hard for me," said {H} and kicked a pebble.',
		],
		[
			'"A little every day is enough," said {C}.',
			'But {C} picked up the {n} and said, "Show me just one small thing."',
			'{C} smiled and said, "I fell a hundred times before I could walk."',
		],
		[
			"So {H} practised a little each day, and {C} sat beside {him}.",
			"From then on they met every evening and tried one new thing.",
			"Day after day {H} took the {n} and tried again, and {C} clapped for every small step.",
		],
		[
			"When the autumn came, {H} could do it without thinking.",
			"One morning it suddenly worked, as if it had never been hard.",
			"After many weeks everybody came to watch and nobody laughed.",
		],
		[
			'"You did it," said {C}. "We did it," said {H}.',
			"{H} taught {C} in return, and soon the {n} was shared by both.",
			"{H} held up the {n} and bowed, and {C} cheered the loudest.",
		],
	],
	// A storm
	[
		[
			"One afternoon the sky turned black and the wind began to howl.",
			"One night a terrible storm came over the land.",
			"It had rained for three days, and the water was rising.",
		],
		[
			"{H} was safe at home, but {C} was still outside.",
			"{H} closed the shutters and noticed that {C} had not come back.",
			"{H} counted the lights in the windows, and the window of {C} was dark.",
		],
		[
			"{He} took {o} and stepped out into the rain.",
			"There was only one thing that could help: {o}, which hung by the door.",
			"{He} remembered {o} in the cupboard and ran out with it.",
		],
		[
			"The wind pulled at {him}, but {he} held the {n} tight.",
			"Branches fell left and right, but {H} went on step by step.",
			"{He} could hardly see the path, yet {he} did not turn back.",
		],
		[
			"At last {he} heard a faint cry from the bridge.",
			"Behind a fallen tree {he} found {C}, cold and frightened.",
			'"Here!" called {C} from the roof of a shed.',
		],
		[
			"With the help of the {n} they found the way back.",
			"{H} used the {n} to guide them both through the dark.",
			"Holding on to the {n}, they crossed the water together.",
		],
		[
			"At home they drank hot milk and listened to the rain.",
			'"You came for me," said {C}. "Always," said {H}.',
			"When the sun came out, {H} and {C} were asleep by the fire.",
		],
	],
	// A mistake and an apology
	[
		[
			"{C} had {o} that was older than anyone could remember.",
			"One day {C} showed {him} {o} and asked {him} to be careful.",
			"{C} was going away for a day and left {o} with {H}.",
		],
		[
			"{H} only wanted to look at it, but it slipped and fell.",
			"When {H} was alone, {he} played with it, and something cracked.",
			"{H} forgot it in the rain, and in the morning it was ruined.",
		],
		[
			"{His} heart beat fast, and {he} hid the {n} under a cloth.",
			"{He} was so afraid that {he} told nobody.",
			'"Perhaps nobody will notice," thought {H}, but {he} could not sleep.',
		],
		[
			"The next day {C} asked for the {n}, and {H} looked at the floor.",
			'"Is something wrong?" asked {C}, and {H} turned red.',
			"When {C} came back, {H} could not eat a single bite.",
		],
		[
			'"I broke it," said {H} at last. "I am sorry, {C}."',
			"Then {H} took a deep breath and told {C} everything.",
			"Finally {H} brought the {n} and said that it was {his} fault.",
		],
		[
			"{C} was silent for a while and then nodded.",
			'"I am sad about the {n}," said {C}, "but I am glad that you told me."',
			"{C} was angry at first, but not for long.",
		],
		[
			"They mended the {n} together, and it was better than before.",
			"All afternoon they glued and painted until the {n} looked like new.",
			"{H} worked a whole week to repair the {n}, and {C} brought cake.",
		],
	],
	// A secret
	[
		[
			"One day {H} was digging in the ground and hit something hard.",
			"While cleaning an old chest, {H} found a drawer that nobody had opened for years.",
			"Behind a loose board in the wall {H} saw something glitter.",
		],
		[
			"It was {o}, covered with dust.",
			"{He} pulled out {o} and wiped it clean.",
			"Inside lay {o}, wrapped in cloth.",
		],
		[
			"{He} ran to {C} to show it.",
			'"{C}, you must see this!" called {H}.',
			"{He} told only {C} about it.",
		],
		[
			'"Look, there are tiny letters on the {n}," said {C}.',
			"{C} turned the {n} around and found a small arrow on it.",
			'"I have seen such a {n} in a picture," said {C}.',
		],
		[
			"The sign led them over three hills to a door in a rock.",
			"They followed the hint to a place where no path went.",
			"All day they walked, until they came to a hidden garden.",
		],
		[
			"There they found no gold, but the most beautiful view of the world.",
			"Behind it was a room full of old toys that had waited for someone to play.",
			"There an old hermit waited, who had lost the {n} as a child.",
		],
		[
			"{H} and {C} promised to keep the secret and to come back every year.",
			'"This is better than any treasure," said {H}, and {C} agreed.',
			"{H} left the {n} there, where it belonged, and {C} held {his} hand.",
		],
	],
];

export const ENDINGS = [
	"And from that day on, {H} and {C} were never apart.",
	"{H} never forgot that day.",
	"That night {H} slept better than ever before.",
	"And if they have not moved away, {H} and {C} still live there today.",
	"Since then everyone in the place has told the story of {H} and {C}.",
	"And {H} learned that a friend is worth more than any treasure.",
	"And {H} learned that it is never too late to try.",
	"And so {H} and {C} walked home, tired and happy.",
];
