/** Sums of small numbers, asked in many ways. About one pair of two-digit numbers in ten is never trained. */
import {
	assistant,
	type HeldOut,
	type Message,
	renderChat,
	renderPlain,
	user,
} from "./document.ts";
import { pickName } from "./names.ts";
import { hashText, type Random } from "./random.ts";

type Sign = "+" | "-" | "*";

const isTwoDigit = (n: number) => n >= 10 && n <= 99;

/** True for unordered two-digit pairs that no training document may add (nor undo by subtraction). */
export function isHeldOutPair(a: number, b: number): boolean {
	if (!isTwoDigit(a) || !isTwoDigit(b)) return false;
	return hashText(`pair ${Math.min(a, b)} ${Math.max(a, b)}`) % 10 === 0;
}

export function heldOutPairs(): [number, number][] {
	const pairs: [number, number][] = [];
	for (let a = 10; a <= 99; a++) {
		for (let b = a; b <= 99; b++) if (isHeldOutPair(a, b)) pairs.push([a, b]);
	}
	return pairs;
}

function compute(a: number, sign: Sign, b: number): number {
	switch (sign) {
		case "+":
			return a + b;
		case "-":
			return a - b;
		case "*":
			return a * b;
		default:
			return sign satisfies never;
	}
}

interface Problem {
	a: number;
	sign: Sign;
	b: number;
}

function pickProblem(random: Random): Problem {
	const sign = random.weighted<Sign>([
		[6, "+"],
		[3, "-"],
		[1, "*"],
	]);
	if (sign === "*") return { a: random.int(0, 12), sign, b: random.int(0, 12) };
	for (;;) {
		const [low, high] = random.weighted([
			[7, [10, 99]],
			[1, [0, 20]],
			[2, [0, 999]],
		] as const);
		let a = random.int(low, high);
		let b = random.int(low, high);
		if (sign === "-" && a < b) [a, b] = [b, a];
		const held = sign === "+" ? isHeldOutPair(a, b) : isHeldOutPair(a - b, b);
		if (!held) return { a, sign, b };
	}
}

const WORDS: Record<Sign, readonly string[]> = {
	"+": ["plus", "and", "added to"],
	"-": ["minus", "take away", "less"],
	"*": ["times", "multiplied by"],
};

const QUESTIONS: readonly ((p: Problem, random: Random) => string)[] = [
	({ a, sign, b }) => `${a} ${sign} ${b}`,
	({ a, sign, b }) => `${a}${sign}${b}`,
	({ a, sign, b }) => `${a}${sign}${b}=?`,
	({ a, sign, b }) => `${a} ${sign} ${b} =`,
	({ a, sign, b }) => `${a} ${sign} ${b} = ?`,
	({ a, sign, b }) => `What is ${a} ${sign} ${b}?`,
	({ a, sign, b }) => `what's ${a} ${sign} ${b}`,
	({ a, sign, b }) => `What's ${a} ${sign} ${b}?`,
	({ a, sign, b }) => `Compute ${a} ${sign} ${b}.`,
	({ a, sign, b }) => `Calculate ${a} ${sign} ${b}`,
	({ a, sign, b }) => `How much is ${a} ${sign} ${b}?`,
	({ a, sign, b }) => `Please work out ${a} ${sign} ${b}.`,
	({ a, sign, b }) => `Can you tell me what ${a} ${sign} ${b} is?`,
	({ a, sign, b }, random) =>
		`What is ${a} ${random.pick(WORDS[sign].slice(0, 2))} ${b}?`,
	({ a, sign, b }) => `How much is ${a} ${WORDS[sign][0]} ${b}?`,
	({ a, sign, b }) => `${a} ${WORDS[sign][0]} ${b}`,
	({ a, sign, b }) => `what does ${a} ${WORDS[sign][0]} ${b} make?`,
	({ a, sign, b }) =>
		sign === "+"
			? `Add ${a} and ${b}.`
			: sign === "-"
				? `Subtract ${b} from ${a}.`
				: `Multiply ${a} by ${b}.`,
	({ a, sign, b }) =>
		sign === "+"
			? `What is the sum of ${a} and ${b}?`
			: sign === "-"
				? `What is the difference of ${a} and ${b}?`
				: `What is the product of ${a} and ${b}?`,
];

const answer = ({ a, sign, b }: Problem): string =>
	`${a} ${sign} ${b} = ${compute(a, sign, b)}`;

const THINGS =
	"apples stones shells books coins pears marbles stamps buttons cards".split(
		" ",
	);

function wordProblem(problem: Problem, random: Random): Message[] {
	const name = pickName(random);
	const thing = random.pick(THINGS);
	const { a, sign, b } = problem;
	const change =
		sign === "+"
			? random.pick([`gets ${b} more`, `finds ${b} more`, `buys ${b} more`])
			: random.pick([`gives away ${b}`, `loses ${b}`, `sells ${b}`]);
	return [
		user(
			`${name} has ${a} ${thing} and ${change}. How many ${thing} does ${name} have now?`,
		),
		assistant(
			`${answer(problem)}, so ${name} has ${compute(a, sign, b)} ${thing}.`,
		),
	];
}

export function arithmeticTurn(random: Random): Message[] {
	const problem = pickProblem(random);
	if (problem.sign !== "*" && random.chance(0.1)) {
		return wordProblem(problem, random);
	}
	return [
		user(random.pick(QUESTIONS)(problem, random)),
		assistant(answer(problem)),
	];
}

/** A chat of one to four sums, or a plain column of them. */
export function arithmeticDocument(random: Random): string {
	const count = random.int(1, 5);
	if (random.chance(0.3)) {
		const lines = Array.from({ length: count }, () =>
			answer(pickProblem(random)),
		);
		return renderPlain(lines.join("\n"));
	}
	const turns = Array.from({ length: count }, () => arithmeticTurn(random));
	return renderChat(turns.flat());
}

/** Every held-out pair once, in an order and a phrasing of its own; every third as plain text. */
export function heldOutArithmetic(random: Random): HeldOut[] {
	const items: HeldOut[] = [];
	for (const [low, high] of heldOutPairs()) {
		const [a, b] = random.chance(0.5) ? [low, high] : [high, low];
		const problem: Problem = { a, sign: "+", b };
		const id = `${a}+${b}`;
		const expected = { number: a + b };
		if (items.length % 3 === 0) {
			const prompt = `${a} + ${b} =`;
			items.push({ kind: "addition", id, prompt, expected });
		} else {
			const question = random.pick(QUESTIONS)(problem, random);
			const messages = [user(question)];
			items.push({ kind: "addition", id, messages, expected });
		}
	}
	for (const [a, b] of random.sample(heldOutPairs(), 60)) {
		const problem: Problem = { a: a + b, sign: "-", b };
		const messages = [user(random.pick(QUESTIONS)(problem, random))];
		const id = `${a + b}-${b}`;
		items.push({ kind: "subtraction", id, messages, expected: { number: a } });
	}
	return items;
}
