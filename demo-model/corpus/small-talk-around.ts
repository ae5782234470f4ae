/** Sentences that people put around a question. They fit any question, so they must not tell anything about the answer. */

export const CONTEXTS = `
I am building a small app.
I am writing a blog post.
We run a server at work.
We have a cluster with eight cards.
I have an old laptop.
I just installed this.
I cloned the repository this morning.
I am reading the source code.
I am preparing a talk for tomorrow.
There is an exam next week.
My team had a discussion about this.
My boss wants to know.
My friend says it is obvious.
My sister studies computer science.
I come from web development.
I know Python but not this.
I have never worked with models before.
I saw it on a dashboard.
I saw it in a log file.
I saw it in the trace.
I found it in the config.
I found it in a paper.
I found this word in an issue on GitHub.
It appears in the documentation.
It was in the release notes.
The profiler shows it.
The tutorial did not say.
The test suite mentions it.
A customer complained.
Users ask me all the time.
I get this question a lot.
I tried it yesterday and it did not work as I thought.
I want to save money.
I want my users to be happy.
I want to understand the basics.
I want to write my own engine.
I have 16 GB of memory.
I have a card with 24 GB.
Our prompts are about 2000 tokens long.
Our answers have about 300 tokens.
There are 100 users at the same time.
I use the TypeScript library.
I use the command line.
I use it in the browser.
I use the HTTP server.
I am confused.
I have read a lot but still do not see it.
It sounds complicated.
Maybe this is a strange question.
Let me ask something else.
I have one more thing.
Before I go to bed.
During lunch we talked about it.
In an interview I was asked this.
On the train I thought about it.
For a school project.
For a benchmark.
For production.
For a paper that I am writing.
In the video they said it quickly.
On a forum somebody wrote about it.
You seem to know such things.
Imagine I am five years old.
Imagine you are a teacher.
Assume that I know nothing.
Speak slowly.
Be honest.
No code please.
Give an example if you can.
I will write it down.
It is for my notes.
Nobody could tell me so far.
`
	.trim()
	.split("\n");

/** Everyday words that say nothing about any fact. */
export const EVERYDAY_WORDS =
	"able about above accept according across add afternoon again against ago agree allow almost alone along already also although always amazing among another any anybody anyone anything anyway appear apply area arrive aside ask away back base basis because become before behind believe below beside best between beyond bit book both boss bother break bring build busy buy call care case catch cause certain chance change chapter check child choose city claim class clear close cloud code coffee collect colleague come common company complete computer concept consider contain correct country couple course cover create current customer daily data day deal decide deep default depend detail develop difference directly discuss document door doubt down draw drive during early easy edge effect either else email enough enter entire environment equal especially even evening event ever everybody everyone everything everywhere evidence exact example except exist expect experience expert explain extra eye face fact fail fair fall familiar family far feature feel few field fill final find fine finish first fit five follow food force forget form forward four frame friend front full fun further future game general give glad go goal good grandfather grow guess guide half hand handle happen hard hardly head hear heart help hence here high hold home hope hour house however huge human hundred idea ignore imagine impact important improve include indeed inside instance instead interest internet into issue item job join journey just keep kid kind know lab lack laptop large last late later laugh lead learn least leave left lesson less let letter level library life light like line list listen little live local long look lose lot love low machine main make man manager manual many mark market matter maybe mean meet meeting member mention method middle might million mind minute miss mistake modern moment money month more morning most move much must name near nearly necessary need never new news next nice night nobody none normal note nothing notice now number object obvious occur odd offer office often old once one online only open opinion option order ordinary other otherwise ought outside over own page paper parent part particular party pass past patient pay people per perfect perhaps period person phone pick picture piece place plan play please plenty point poor possible post power practice prefer prepare present pretty previous price print probably problem produce product program project promise proper prove provide public pull purpose push put quality question quick quiet quite rate rather reach read ready real realize reason receive recent recommend refer regular relate remain remember report request require research rest return right rise road role room round rule run safe same save say school science screen script season second section see seem sell send sense sentence separate serious service set seven several shape share shop short should show side sign similar simple simply since single sister site situation six size skill sleep slightly slow small smart social software solve somebody somehow someone something sometimes somewhere soon sort sound source space speak special specific spend stand standard start state stay step still stop store story strange street strong student study stuff style subject such sudden suggest suitable summer suppose sure surprise system table take talk task teacher team tell ten term terms test thank then theory therefore they thing think third thought thousand three through throughout time tiny title today together tomorrow tonight too tool top topic total touch toward town track train travel treat tree trip trouble true trust try turn twelve twenty twice two type under understand unit university unless until up upon usual usually value various version very video view visit voice wait walk wall want watch water way wear web website week weekend weird welcome well whatever whenever where wherever whether while whole whose why wide will win window winter wish within without woman wonder word work world worry worse worth would write writer wrong year yes yesterday yet young".split(
		" ",
	);
