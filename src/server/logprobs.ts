/** Log-probabilities in the forms of a completion, of a chat, and of vLLM's prompt_logprobs. Knows no endpoint. */
import type { TokenLogprob } from "../index.ts";

export interface LogprobStyle {
	/** Best tokens asked for: the chosen one is among the library's even where it is none of them. */
	readonly count: number;
	/** "token_id:17" in place of text. */
	readonly asTokenIds: boolean;
}

/** JSON has no -Infinity; what vLLM sends in its place. */
const LOWEST = -9999;

const logprobOf = ({ logprob }: TokenLogprob): number =>
	Math.max(logprob, LOWEST);

const nameOf = (
	{ token, tokenId }: Pick<TokenLogprob, "token" | "tokenId">,
	{ asTokenIds }: LogprobStyle,
): string => (asTokenIds ? `token_id:${tokenId}` : token);

const isAmong = (entry: TokenLogprob, { count }: LogprobStyle): boolean =>
	count === -1 || entry.rank <= count;

const chosenOf = (
	entries: readonly TokenLogprob[],
	tokenId: number,
): TokenLogprob =>
	entries.find((entry) => entry.tokenId === tokenId) ?? entries[0];

/** choices[].logprobs.content of a chat. */
export function chatLogprobs(
	logprobs: readonly (readonly TokenLogprob[])[],
	tokenIds: readonly number[],
	style: LogprobStyle,
) {
	const encoder = new TextEncoder();
	const one = (entry: TokenLogprob) => {
		const token = nameOf(entry, style);
		return {
			token,
			logprob: logprobOf(entry),
			bytes: [...encoder.encode(token)],
		};
	};
	const content = logprobs.map((entries, i) => ({
		...one(chosenOf(entries, tokenIds[i])),
		top_logprobs: entries.filter((e) => isAmong(e, style)).map(one),
	}));
	return { content };
}

export interface CompletionLogprobs {
	readonly text_offset: number[];
	readonly token_logprobs: (number | null)[];
	readonly tokens: string[];
	readonly top_logprobs: (Record<string, number> | null)[];
}

/** Of a completion: four lists, which grow. */
export function createCompletionLogprobs(style: LogprobStyle, offset = 0) {
	const lists: CompletionLogprobs = {
		text_offset: [],
		token_logprobs: [],
		tokens: [],
		top_logprobs: [],
	};
	let at = offset;
	return {
		lists,
		/** `entries` null: the first token of a prompt, which nothing predicts. */
		add(
			entries: readonly TokenLogprob[] | null,
			token: { tokenId: number; token: string },
		) {
			const chosen = entries && chosenOf(entries, token.tokenId);
			lists.text_offset.push(at);
			lists.tokens.push(nameOf(token, style));
			lists.token_logprobs.push(chosen && logprobOf(chosen));
			const best = entries?.filter((e) => isAmong(e, style) || e === chosen);
			lists.top_logprobs.push(
				best
					? Object.fromEntries(
							best.map((e) => [nameOf(e, style), logprobOf(e)]),
						)
					: null,
			);
			at += token.token.length;
		},
		get offset() {
			return at;
		},
	};
}

/** vLLM's prompt_logprobs: per token of the prompt, token id → what is known of it. */
export function promptLogprobs(
	prompt: readonly (readonly TokenLogprob[] | null)[] | null,
) {
	if (prompt === null) return null;
	return prompt.map(
		(entries) =>
			entries &&
			Object.fromEntries(
				entries.map((entry) => [
					entry.tokenId,
					{
						logprob: logprobOf(entry),
						rank: entry.rank,
						decoded_token: entry.token,
					},
				]),
			),
	);
}
