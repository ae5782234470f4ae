/** Words and phrases that may stand for each other in a question. Every group is used in both directions. */

const GROUPS = `
why|how come|for what reason|what is the reason that|what makes it that
what is|what's|what exactly is|what do we mean by|what might be|define|explain|describe|what do people mean by|clarify
what are|what're|what exactly are|what do we mean by|define|explain|describe
what does|what will|what would|what can|what could
how does|in what way does|how exactly does|by what means does|by which process does|by what mechanism does|by what method does|in what manner does
how do i|how can i|how could i|how would i|how might i|what is the way to|is there a way to|is it possible to|can i|could i|where do i|what do i set to|i want to|i would like to|i'd like to|i need to|which option lets me|what should i do to|what do i use to
how is|in what way is|how exactly is|by what means is|by which process is
how are|in what way are|how exactly are|by what means are
how much|what amount of|how many gigabytes of
how big|how large|what size
how many|what number of|what count of
which|what|what kind of
what happens|what goes on|what takes place|what follows|what now|what becomes of it
can i|could i|may i|is it possible to|am i able to|is there a way to
can|could|may|is it possible that|might
should i|do i have to|would you|must i|had i better
do|does|would
needs|requires|wants
need|require|want
use|employ|apply|rely on|work with|adopt
used|employed|applied
uses|employs|applies|relies on
used for|good for|there for|useful for|meant for
purpose|point|goal|aim|job|role|task|duty|responsibility|business|function|chore
advantage|benefit|gain|upside|plus|merit|pro
drawback|downside|disadvantage|danger|catch|con|weakness
help|pay off|benefit me|be of use|do good|cure
helps|pays off|benefits|profits|cures
difference between|distinction between|contrast between
difference|distinction|contrast
differ|diverge|part ways|contrast
differ from|contrast with|compare to|unlike
compare|contrast|tell apart|distinguish
engine|inference engine|server|llm engine|system|runtime
gpu|graphics card|card|accelerator|device
memory|ram|space|storage
request|prompt|query|user|call
requests|prompts|queries|users|calls
answer|reply|response|output|result|text
answers|replies|responses|outputs|results
model|llm|network|language model|checkpoint
fast|quick|rapid|speedy
faster|quicker|speedier
slow|sluggish
slower|more sluggish
speed|pace|performance
speed up|accelerate|make faster|make quicker
bottleneck|limit|limiting factor
limited by|bound by|held back by|limited through
limit|cap|ceiling|bound|restrict|restriction
limits|caps|bounds|restricts|holds back
big|large|huge|giant|bigger
larger|bigger|greater|higher
small|little|tiny|compact
smaller|tinier|lower
good|useful|fine|nice|worth it
bad|poor|harmful|wrong
better|superior|preferable
worse|poorer|inferior
choose|pick|select|decide on
chosen|picked|selected
decides|determines|controls|governs|says
determine|decide|control|govern
affect|influence|change|have an effect on
reduce|lower|shrink|cut|bring down|squeeze
increase|raise|boost|crank up
save|spare|economize
saves|spares
store|keep|hold|save|remember
stored|kept|held|saved|remembered
stores|keeps|holds|carries
happen|occur|take place
mean|stand for|signify|refer to|denote
means|stands for|signifies|denotes
work|function|operate|play together
works|functions|operates
computed|calculated|worked out|estimated
compute|calculate|work out|estimate
make|produce|create|generate|write
makes|produces|creates|generates|writes
made|produced|created|generated|written
generate|produce|write|make
stop|end|finish|halt|terminate
stops|ends|finishes|halts
start|begin
starts|begins|arrives
wait|stand in line|queue|stall|pause
throw away|drop|evict|discard|kick out|remove
thrown away|dropped|evicted|discarded|kicked out
split|cut|divide|chop|break up|scatter
share|have in common|use together
shared|used together|common
reuse|use again|share
full|exhausted|used up|taken|tight
runs out of|has no more|exhausts|lacks
free|available|unused
several|many|multiple|a few|a couple of
many|lots of|plenty of|thousands of|numerous
at once|at the same time|together|in parallel|concurrently|simultaneously|side by side
first|at first|in the beginning|initially|before anything
same|equal|identical|very same
different|other|distinct
each|every|every single
number|figure|value|amount|count
setting|option|parameter|knob|flag|field|switch
set|configure|put|choose|change
part|piece|portion|component|section
parts|pieces|portions|ingredients|components
kind|type|sort|form
called|named|known as|termed
look up|find|locate|search
find|locate|discover|detect|notice|recognise
found|located|detected|noticed|recognised
tell|say|show|indicate
see|find out|look at|view
get|obtain|receive|have|reach
gives|yields|returns|delivers|provides
return|give back|deliver|give
ban|forbid|block|suppress|prevent
avoid|prevent|get rid of|escape
repeat|say again|loop
repeats itself|loops|goes round in circles|says the same over and over
random|by chance|unpredictable|wild
deterministic|repeatable|reproducible|the same every time
likely|probable
probability|likelihood|chance
probabilities|likelihoods|chances
length|size|duration
long|lengthy|huge|giant
short|brief|lean
cheap|inexpensive|low-cost
expensive|costly|pricey
cost|price|bill
costs|eats|takes
wasted|lost|going to waste|thrown away
problem|issue|trouble|difficulty
solve|fix|cure|address|remedy
advice|tips|hints|remedies|recommendations
important|crucial|essential
idea|gist|concept|notion|principle|trick|secret
weights|parameters|learned numbers|matrices
numbers|values|figures
file|format|document
inside|within|in
contain|include|hold|comprise|consist of
consist of|contain|be made of|be built from
made of|built from|composed of|made up of
layer|block|level
step|iteration|turn|pass
exactly|precisely|really|actually
usually|normally|typically
load|read|open
cores|processors|threads
browser|web page|page
letters|characters
word|term
words|terms
chat|conversation|dialogue
new|fresh|unseen
old|earlier|previous
later|afterwards|after that
largest|biggest|highest|top
smallest|least|lowest
compressed|squeezed
quality|accuracy|precision
measure|test|quantify|gauge
simple|plain|easy
without|with no|lacking
explain|describe|clarify|outline|summarize|spell out|illuminate|sketch|elaborate on|break down
tell me about|say something about|enlighten me on|inform me about|fill me in on|describe|talk about
what about|how about|and what of
`;

/** For each phrase in lower case, all that may replace it. */
export const SYNONYMS: ReadonlyMap<string, readonly string[]> = (() => {
	const map = new Map<string, string[]>();
	for (const line of GROUPS.trim().split("\n")) {
		const group = line.split("|");
		for (const phrase of group) {
			const others = group.filter((other) => other !== phrase);
			map.set(phrase, [...(map.get(phrase) ?? []), ...others]);
		}
	}
	return map;
})();

/** The longest phrase in SYNONYMS, in words. */
export const LONGEST_PHRASE = Math.max(
	...[...SYNONYMS.keys()].map((phrase) => phrase.split(" ").length),
);
