/** Facts about tokens, tokenizers and chat formats. */
import type { Topic } from "./topic.ts";

export const textTopics: Record<string, Topic> = {
	token: {
		names: ["a token", "tokens", "tokens in a text"],
		facts: {
			what: {
				answer:
					"A token is a piece of text, often a word or a part of one, that the model sees as one integer. In English a token is about four characters on average.",
				ask: [
					"What is a token?",
					"How long is a token?",
					"How many characters does a token have?",
					"Are tokens words?",
					"What is the unit a model reads?",
					"How many letters make up a token, roughly?",
					"Is a token the same thing as a word?",
				],
			},
		},
	},
	tokenizer: {
		names: ["a tokenizer", "the tokenizer", "tokenization"],
		facts: {
			what: {
				answer:
					"A tokenizer turns text into token ids and back. Each model has its own, and using another one gives nonsense.",
				ask: [
					"What does a tokenizer do?",
					"How does text become numbers?",
					"Can I use the tokenizer of another model?",
					"Why does each model need its own tokenizer?",
					"Which component turns text into ids?",
					"I mixed up the tokenizers of two models and get garbage, why?",
					"Which piece translates between letters and ids?",
				],
			},
			"why-not-words": {
				answer:
					"Whole words would need a huge vocabulary and fail on new words, while single letters make texts too long. Subword tokens are the compromise.",
				ask: [
					"Why are tokens not whole words?",
					"Why do models not read single letters?",
					"Why do we use subwords?",
					"What is wrong with a word vocabulary?",
					"Words, letters or subwords, what is best?",
					"Wouldn't it be simpler to feed characters to the model?",
					"What speaks against one id for each dictionary entry?",
				],
				subjects: ["subword tokens", "subwords"],
			},
		},
	},
	bpe: {
		names: [
			"byte pair encoding",
			"BPE",
			"byte-pair encoding",
			"a BPE tokenizer",
		],
		facts: {
			what: {
				answer:
					"Byte pair encoding starts from single bytes and joins the most frequent neighbouring pair again and again. The learned list of merges then splits any text the same way.",
				ask: [
					"How does BPE work?",
					"What does BPE stand for?",
					"How does BPE build its vocabulary?",
					"What are merges in a tokenizer?",
					"How is a BPE tokenizer trained?",
					"Walk me through how byte pair encoding learns its pieces.",
					"A tokenizer file contains a list called merges, what is that?",
				],
			},
			encode: {
				answer:
					"To encode a word, BPE repeatedly applies the merge that was learned earliest among those possible. It stops when no known pair is left.",
				ask: [
					"How does BPE encode a word?",
					"In which order are merges applied?",
					"How are merges used at run time?",
					"When does BPE stop merging?",
					"Which merge comes first?",
					"Given the trained merges, how is a new word cut?",
					"Several merges would fit, which one wins?",
				],
				subjects: [
					"encoding with BPE",
					"the order of merges",
					"applying merges",
				],
			},
		},
	},
	"byte-level": {
		names: ["byte-level BPE", "a byte-level tokenizer", "byte-level tokens"],
		facts: {
			what: {
				answer:
					"A byte-level tokenizer works on the bytes of UTF-8 text, so it can encode any string and needs no unknown token. A rare emoji simply becomes several tokens.",
				ask: [
					"What does byte-level mean?",
					"How are emojis tokenized?",
					"Can a tokenizer meet an unknown character?",
					"Why is there no unknown token?",
					"How does a tokenizer handle any language?",
					"What if I type a symbol the tokenizer never saw?",
					"Why can bytes represent whatever I write?",
				],
			},
		},
	},
	"pre-tokenizer": {
		names: ["a pre-tokenizer", "the pre-tokenizer", "pre-tokenization"],
		facts: {
			what: {
				answer:
					"The pre-tokenizer cuts text into words, numbers and punctuation before BPE runs. Merges never cross these cuts.",
				ask: [
					"What does the pre-tokenizer do?",
					"Where is text split before BPE?",
					"Can merges cross word borders?",
					"Which regular expression splits the text first?",
					"What comes before BPE?",
					"Prior to merging, how does a tokenizer chop the text?",
					"What is a pre-tokenizer's duty?",
				],
			},
		},
	},
	digits: {
		names: ["digit splitting", "single-digit tokens", "digits as tokens"],
		facts: {
			what: {
				answer:
					"Many tokenizers split numbers into single digits, so that every number is written in the same way. This makes arithmetic much easier to learn.",
				ask: [
					"How are numbers tokenized?",
					"Why are digits split?",
					"Why does each digit get its own token?",
					"Does tokenization matter for arithmetic?",
					"How does a tokenizer write 1234?",
					"What becomes of 2025 inside the tokenizer?",
					"Why would chopping up numerals make sums simpler to learn?",
				],
			},
		},
	},
	vocabulary: {
		names: [
			"the vocabulary",
			"the vocabulary size",
			"vocab size",
			"vocab_size",
		],
		facts: {
			what: {
				answer:
					"The vocabulary is the set of all tokens a model knows. A larger one makes texts shorter but the embedding table and output layer bigger.",
				ask: [
					"What is the vocabulary of a model?",
					"How many tokens does a model know?",
					"What does vocab_size mean?",
					"Is a large vocabulary better?",
					"What is the price of a large vocabulary?",
					"151,936 entries in the vocabulary: pros and cons?",
					"How is the collection of all known tokens called?",
				],
			},
		},
	},
	"special-tokens": {
		names: ["special tokens", "a special token", "control tokens"],
		facts: {
			what: {
				answer:
					"Special tokens such as im_start mark the structure of a conversation and are not made from ordinary text. They are usually left out when the answer is shown.",
				ask: [
					"What are special tokens?",
					"What does im_start mean?",
					"Why do I see im_end in my text?",
					"What are control tokens for?",
					"Are special tokens shown to the user?",
					"Strange things like im_end pop up, what are they?",
					"Which tokens never come from what a user types?",
				],
			},
		},
	},
	"chat-template": {
		names: ["a chat template", "the chat template", "chat templates"],
		facts: {
			what: {
				answer:
					"A chat template turns a list of messages into the one text the model was trained on. It is a small Jinja program stored with the tokenizer.",
				ask: [
					"What does a chat template do?",
					"How do messages become a prompt?",
					"Where is the chat format of a model stored?",
					"Why does my chat model give bad answers to plain text?",
					"What is the Jinja text in tokenizer_config.json?",
					"From a list of messages to one string, who does it?",
					"There is Jinja code in my model folder, what for?",
				],
			},
			"generation-prompt": {
				answer:
					"add_generation_prompt appends the opening of an assistant turn, so that the model answers instead of continuing the user's text. It is on for chat requests.",
				ask: [
					"What does add_generation_prompt do?",
					"Why is an assistant header added at the end?",
					"How does the model know it is its turn?",
					"What is the generation prompt?",
					"Why does the model continue my question instead of answering?",
					"How is the assistant cued to speak?",
					"The last line of the rendered chat opens a turn, what is it there for?",
				],
				subjects: [
					"add_generation_prompt",
					"the generation prompt",
					"the assistant header",
				],
			},
		},
	},
	chatml: {
		names: ["ChatML", "the ChatML format"],
		facts: {
			what: {
				answer:
					"ChatML opens each message with the marker im_start and a role and closes it with im_end. Qwen models and this demo model use it.",
				ask: [
					"What does ChatML look like?",
					"Which chat format does Qwen use?",
					"How are roles marked in ChatML?",
					"What is the format of a ChatML message?",
					"Which chat format does this demo model use?",
					"Show me how a turn is delimited in ChatML.",
					"What markup surrounds a message for Qwen?",
				],
			},
		},
	},
	"system-prompt": {
		names: ["a system prompt", "the system prompt", "a system message"],
		facts: {
			what: {
				answer:
					"The system prompt is a first message that tells the model how to behave. It stays the same for all turns, so its KV blocks are a good case for prefix caching.",
				ask: [
					"What is a system prompt?",
					"How do I tell the model how to behave?",
					"What is the system role for?",
					"Where do I put general instructions?",
					"Which message comes first in a chat?",
					"Where would I write rules for the assistant's manner?",
					"What purpose has the message with role system?",
				],
			},
		},
	},
	detokenizer: {
		names: [
			"incremental detokenization",
			"the detokenizer",
			"an incremental detokenizer",
			"streaming detokenization",
		],
		facts: {
			what: {
				answer:
					"An incremental detokenizer turns new tokens into text as they come. It holds back bytes that do not yet form a whole character.",
				ask: [
					"How are tokens turned into text while streaming?",
					"Why is an emoji shown only after several tokens?",
					"What does the detokenizer do?",
					"Why are some bytes held back in a stream?",
					"How does streaming avoid broken characters?",
					"Half an emoji arrived, what does the stream show?",
					"From ids to letters on the fly, who takes care?",
				],
			},
		},
	},
	streaming: {
		names: [
			"streaming",
			"streaming of tokens",
			"a streamed answer",
			"llm.stream",
		],
		facts: {
			what: {
				answer:
					"Streaming sends each piece of text as soon as it is made instead of waiting for the whole answer. The total time is the same, but the reader sees something at once.",
				ask: [
					"What does streaming do?",
					"How can I show the answer while it is being written?",
					"Is streaming faster?",
					"Why do chats stream their answers?",
					"How do I get tokens one by one?",
					"I'd like words to appear live on the screen, what do I use?",
					"Does a stream lower the overall duration?",
				],
			},
		},
	},
};
