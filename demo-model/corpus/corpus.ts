/** The mixture: which share of the training text each kind of document gets, and all that is held out of it. */
import { arithmeticDocument, heldOutArithmetic } from "./arithmetic.ts";
import { chatDocument, heldOutChats, repeatDocument } from "./chat.ts";
import { END_OF_TEXT, type HeldOut } from "./document.ts";
import { generalDocument } from "./general.ts";
import { heldOutLists, listDocument } from "./lists.ts";
import { factDocument, heldOutFacts } from "./qa.ts";
import { createRandom, type Random } from "./random.ts";
import { heldOutRecords, recordDocument } from "./records.ts";
import { heldOutStories, storyDocument } from "./stories.ts";

/** Shares of documents, not of tokens: a story has about ten times the tokens of a sum. */
const MIXTURE = [
	[46, factDocument],
	[14, storyDocument],
	[12, arithmeticDocument],
	[10, chatDocument],
	[4, listDocument],
	[7, recordDocument],
	[5, generalDocument],
	[3, repeatDocument],
] as const;

export const createDocument = (random: Random): string =>
	random.weighted<(random: Random) => string>(MIXTURE)(random);

export const HELD_OUT_SEED = 20_250;

export function heldOutItems(): HeldOut[] {
	const random = createRandom(HELD_OUT_SEED);
	return [
		...heldOutArithmetic(random),
		...heldOutFacts(),
		...heldOutStories(random, 120),
		...heldOutRecords(random, 100),
		...heldOutLists(random),
		...heldOutChats(random, 40),
	];
}

/** Documents of the training mixture from a seed that training never uses, for perplexity. */
export function heldOutText(characters: number): string {
	const random = createRandom(HELD_OUT_SEED + 1);
	const documents: string[] = [];
	for (let length = 0; length < characters; ) {
		const document = createDocument(random);
		documents.push(document.replaceAll(END_OF_TEXT, ""));
		length += document.length;
	}
	return documents.join("\n");
}
