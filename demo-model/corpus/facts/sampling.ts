/** Facts about how the next token is chosen and when an answer ends. */
import type { Topic } from "./topic.ts";

export const samplingTopics: Record<string, Topic> = {
	sampling: {
		names: ["sampling", "token sampling", "sampling a token"],
		facts: {
			what: {
				answer:
					"Sampling picks the next token at random according to the model's probabilities. Settings such as temperature, top-k and top-p shape these probabilities first.",
				ask: [
					"How is the next token chosen?",
					"How does the model pick a token?",
					"What happens after the logits are computed?",
					"Why do I get a different answer each time?",
					"What does it mean to sample a token?",
					"Same prompt, new answer every time: where does that come from?",
					"By which process does a token get selected from the probabilities?",
				],
			},
		},
	},
	logits: {
		names: ["logits", "the logits", "a logit"],
		facts: {
			what: {
				answer:
					"Logits are the raw scores that the model gives to every token of the vocabulary. Softmax turns them into probabilities.",
				ask: [
					"What does the model output before sampling?",
					"What are the raw scores of a model called?",
					"What do logits mean?",
					"How do logits become probabilities?",
					"What comes out of the last layer?",
					"What name do the unnormalised scores over the vocabulary have?",
					"I keep reading about logits, kindly define them.",
				],
			},
		},
	},
	softmax: {
		names: ["softmax", "the softmax function"],
		facts: {
			what: {
				answer:
					"Softmax takes the exponential of every score and divides by their sum, which gives probabilities that add up to one. Subtracting the largest score first keeps it numerically safe.",
				ask: [
					"What does softmax compute?",
					"What is the formula of softmax?",
					"How is softmax made numerically stable?",
					"Why is the maximum subtracted in softmax?",
					"Which function turns scores into probabilities?",
					"How can arbitrary scores be made to sum to one?",
					"Write out the idea of the softmax for me.",
				],
			},
		},
	},
	temperature: {
		names: [
			"temperature",
			"the temperature",
			"the sampling temperature",
			"the temperature setting",
		],
		facts: {
			what: {
				answer:
					"Temperature divides the logits before softmax. Values below 1 make likely tokens even likelier, and values above 1 make the choice more random.",
				ask: [
					"What does temperature do?",
					"How does temperature change the output?",
					"What does a high temperature mean?",
					"How do I make the answers more creative?",
					"How do I make answers less random?",
					"My outputs are too wild, what does the temperature have to do with it?",
					"What effect has the temperature on the distribution?",
				],
			},
			zero: {
				answer:
					"Temperature 0 means greedy decoding: the most likely token is always taken. The answer is then the same on every run.",
				ask: [
					"What happens at temperature 0?",
					"What does a temperature of zero do?",
					"How do I get the same answer every time?",
					"How do I make the output deterministic?",
					"Why is temperature 0 used in tests?",
					"I set the temperature to nothing at all, what do I get?",
					"Which temperature gives repeatable output?",
				],
				subjects: [
					"temperature 0",
					"a temperature of zero",
					"zero temperature",
				],
			},
		},
	},
	greedy: {
		names: ["greedy decoding", "greedy sampling", "greedy search"],
		facts: {
			what: {
				answer:
					"Greedy decoding always takes the token with the highest score. It is simple and repeatable but can fall into loops.",
				ask: [
					"What does greedy decoding do?",
					"Which token does greedy decoding take?",
					"What is the drawback of greedy decoding?",
					"What does argmax sampling mean?",
					"Is greedy decoding deterministic?",
					"Are there dangers in going greedy?",
					"Define the greedy strategy for picking tokens.",
				],
			},
		},
	},
	"top-k": {
		names: ["top-k", "top-k sampling", "topK", "top k"],
		facts: {
			what: {
				answer:
					"Top-k keeps only the k most likely tokens and samples among them. A small k makes the text safer, and k = 1 is greedy decoding.",
				ask: [
					"What does top-k do?",
					"How does top-k limit the choice?",
					"What is k in top-k?",
					"What does topK 1 mean?",
					"What happens with a small k?",
					"If I put topK to 40, what changes?",
					"How many candidates survive top-k?",
				],
			},
		},
	},
	"top-p": {
		names: ["top-p", "top-p sampling", "nucleus sampling", "topP", "top p"],
		facts: {
			what: {
				answer:
					"Top-p keeps the smallest set of most likely tokens whose probabilities add up to at least p. The set is small when the model is sure and large when it is not.",
				ask: [
					"What does top-p do?",
					"How does nucleus sampling choose tokens?",
					"What is p in top-p?",
					"What does topP 0.9 mean?",
					"How many tokens does top-p keep?",
					"If I put topP to 0.95, what changes?",
					"What is the nucleus in nucleus sampling?",
				],
			},
			"versus-top-k": {
				answer:
					"Top-k always keeps the same number of tokens, while top-p keeps as many as are needed to reach a total probability. Top-p therefore adapts to how sure the model is.",
				ask: [
					"What is the difference between top-k and top-p?",
					"How do top-k and top-p differ?",
					"Top-k vs top-p?",
					"Top-k or top-p, which one adapts?",
					"Compare top-p with top-k.",
					"Contrast nucleus sampling with top-k.",
					"Between top-k and top-p, where lies the distinction?",
				],
				subjects: [
					"top-k versus top-p",
					"the difference between top-p and top-k",
				],
			},
		},
	},
	"min-p": {
		names: ["min-p", "min-p sampling", "minP", "min p"],
		facts: {
			what: {
				answer:
					"Min-p drops all tokens whose probability is less than p times that of the best token. It keeps the text sane even at a high temperature.",
				ask: [
					"What does min-p do?",
					"Which tokens does min-p drop?",
					"What is p in min-p?",
					"What does minP 0.1 mean?",
					"Why is min-p good with a high temperature?",
					"If I put minP to 0.05, what changes?",
					"What threshold does min-p apply?",
				],
			},
		},
	},
	seed: {
		names: ["the seed", "a sampling seed", "the random seed", "seed"],
		facts: {
			what: {
				answer:
					"A seed fixes the random numbers of a request, so the same prompt and settings give the same text again. Each request can have its own seed.",
				ask: [
					"What does the seed do?",
					"How do I make random sampling repeatable?",
					"Why should I set a seed?",
					"Can each request have its own seed?",
					"How do I reproduce a sampled answer?",
					"I liked that random answer, how could I get it again?",
					"Which parameter makes random draws come out the same?",
				],
			},
		},
	},
	"presence-penalty": {
		names: ["the presence penalty", "presence penalty", "presencePenalty"],
		facts: {
			what: {
				answer:
					"The presence penalty subtracts a fixed amount from the logit of every token that has already appeared in the answer. It nudges the model towards new topics.",
				ask: [
					"What does the presence penalty do?",
					"How do I push the model to new topics?",
					"Which penalty is the same however often a token appeared?",
					"What does presencePenalty subtract?",
					"How does a presence penalty change the logits?",
					"What consequence does presencePenalty = 1 have?",
					"Which knob encourages fresh subjects by a flat deduction?",
				],
			},
		},
	},
	"frequency-penalty": {
		names: ["the frequency penalty", "frequency penalty", "frequencyPenalty"],
		facts: {
			what: {
				answer:
					"The frequency penalty lowers the logit of a token in proportion to how often it has appeared in the answer. So words that repeat a lot become less and less likely.",
				ask: [
					"What does the frequency penalty do?",
					"Which penalty grows with each repetition?",
					"How do I punish words that appear very often?",
					"What does frequencyPenalty multiply?",
					"How does a frequency penalty change the logits?",
					"What consequence does frequencyPenalty = 1 have?",
					"Which knob counts how many times a word was said and punishes it?",
				],
			},
		},
	},
	"repetition-penalty": {
		names: [
			"the repetition penalty",
			"repetition penalty",
			"repetitionPenalty",
		],
		facts: {
			what: {
				answer:
					"The repetition penalty divides positive logits and multiplies negative ones by a factor for tokens seen in the prompt or the answer. A value of 1 switches it off.",
				ask: [
					"What does the repetition penalty do?",
					"Which penalty also looks at the prompt?",
					"What does a repetition penalty of 1 mean?",
					"How does the repetition penalty scale logits?",
					"How is repetitionPenalty applied?",
					"What consequence does repetitionPenalty = 1.2 have?",
					"Which multiplicative knob reduces repeats, prompt included?",
				],
			},
		},
	},
	repetition: {
		names: ["repetition loops", "repeated text", "a repeating answer"],
		facts: {
			what: {
				answer:
					"If a model repeats itself, raise the temperature a little or use a repetition or frequency penalty. Small models under greedy decoding loop most often.",
				ask: [
					"My model repeats the same sentence, what can I do?",
					"How do I stop the model from looping?",
					"Why does the model say the same thing again and again?",
					"The output is stuck in a loop. How do I fix it?",
					"What helps against repeated text?",
					"It keeps saying the very same words over and over, help!",
					"What cure is there for an answer that goes round in circles?",
				],
			},
		},
	},
	logprobs: {
		names: [
			"logprobs",
			"log probabilities",
			"the logprobs option",
			"token log probabilities",
		],
		facts: {
			what: {
				answer:
					"Logprobs are the natural logarithms of the token probabilities. With the option set, the engine returns for every position the chosen token and the best alternatives.",
				ask: [
					"What are logprobs?",
					"How can I see how sure the model was?",
					"How do I get the probability of each token?",
					"What does the logprobs option return?",
					"Can I see the alternatives to a token?",
					"I want the runner-up tokens and their likelihood, is that possible?",
					"What numbers do I get back when I ask for logprobs?",
				],
			},
			prompt: {
				answer:
					"Prompt logprobs give the log probability of every prompt token under the model. They are used to score texts and to measure perplexity.",
				ask: [
					"What are prompt logprobs?",
					"How can I score a given text with the model?",
					"What does promptLogprobs return?",
					"Can I get probabilities for the prompt?",
					"What are prompt logprobs used for?",
					"I have a fixed text and want the model's likelihood of it, how?",
					"For what would somebody request promptLogprobs?",
				],
				subjects: [
					"prompt logprobs",
					"promptLogprobs",
					"log probabilities of the prompt",
				],
			},
		},
	},
	"stop-strings": {
		names: [
			"stop strings",
			"a stop string",
			"the stop option",
			"stop sequences",
		],
		facts: {
			what: {
				answer:
					"A stop string ends the answer as soon as it appears in the text. It is cut off from the output unless you ask to include it.",
				ask: [
					"What does a stop string do?",
					"How do I end the answer at a certain word?",
					"Is the stop string part of the output?",
					"How can I make generation stop at a newline?",
					"What does the stop option take?",
					"The answer should end as soon as it says END, how do I get that?",
					"Will the stop sequence itself show up in my result?",
				],
			},
			how: {
				answer:
					"A stop string may be spread over several tokens, so the engine checks the decoded text and holds back characters that could be the start of one. That is why streaming can lag by a few characters.",
				ask: [
					"How are stop strings found across tokens?",
					"Why does streaming hold back a few characters?",
					"Can a stop string span several tokens?",
					"How does the engine detect a stop string?",
					"Why are stop strings checked on text and not on tokens?",
					"By what method does the engine notice a stop string?",
					"The stream trails slightly behind when I set stop strings, explain.",
				],
			},
		},
	},
	"stop-token-ids": {
		names: ["stop token ids", "stopTokenIds", "stop tokens"],
		facts: {
			what: {
				answer:
					"Stop token ids end the answer when one of these tokens is sampled. They are compared as integers, so they cost nothing, unlike stop strings.",
				ask: [
					"What are stop token ids?",
					"How do I stop at a certain token?",
					"What is the difference between stop tokens and stop strings?",
					"What does stopTokenIds do?",
					"Which stop option works on integers?",
					"I know the id at which to finish, what do I set?",
					"Is halting on an id cheaper than on a string?",
				],
			},
		},
	},
	"max-tokens": {
		names: [
			"maxTokens",
			"the max tokens limit",
			"max tokens",
			"the limit of new tokens",
		],
		facts: {
			what: {
				answer:
					"maxTokens is the largest number of new tokens a request may make. When it is reached, the request ends with the finish reason length.",
				ask: [
					"What does maxTokens do?",
					"How do I limit the length of an answer?",
					"Why is my answer cut off?",
					"How do I get longer answers?",
					"What is the maximum number of new tokens?",
					"The reply breaks off in the middle of a sentence, what should I change?",
					"How can I keep answers from growing too lengthy?",
				],
			},
		},
	},
	"min-tokens": {
		names: ["minTokens", "min tokens", "the minimum number of tokens"],
		facts: {
			what: {
				answer:
					"minTokens forbids end tokens until that many new tokens have been made. It is useful when a model ends its answers too early.",
				ask: [
					"What does minTokens do?",
					"How do I get a minimum length?",
					"The model stops too early, what can I do?",
					"How can I forbid an early end?",
					"What is the least number of tokens?",
					"Answers come out far too short, can I enforce more?",
					"Is there a floor for the answer's length?",
				],
			},
		},
	},
	eos: {
		names: [
			"the EOS token",
			"the end-of-sequence token",
			"EOS",
			"the end token",
		],
		facts: {
			what: {
				answer:
					"The EOS token is a special token with which the model says that its answer is complete. The engine ends the request there, and a model may have several of them.",
				ask: [
					"How does the model know when to stop?",
					"What is EOS?",
					"How does an answer end?",
					"Can a model have several end tokens?",
					"Which token ends the answer?",
					"By what sign does the model tell that it is done?",
					"What does end-of-sequence signify?",
				],
			},
			ignore: {
				answer:
					"With ignoreEos the engine keeps generating after an end token until maxTokens is reached. Benchmarks use it to get outputs of a known length.",
				ask: [
					"What does ignoreEos do?",
					"Why do benchmarks ignore the end token?",
					"How do I force an exact output length?",
					"Can generation go on after EOS?",
					"When should I use ignoreEos?",
					"For a speed test I need exactly 512 tokens out, which flag helps?",
					"Could the engine go past the end token?",
				],
				subjects: [
					"ignoreEos",
					"ignoring the end token",
					"the ignore EOS option",
				],
			},
		},
	},
	"logit-bias": {
		names: ["logit bias", "logitBias", "a logit bias"],
		facts: {
			what: {
				answer:
					"Logit bias adds a number to the logits of chosen tokens. A large positive value forces a token, a large negative one bans it.",
				ask: [
					"What does logitBias do?",
					"How do I make a token more likely?",
					"How can I push the model towards a word?",
					"What does a negative logit bias do?",
					"How do I change the score of single tokens?",
					"Can I add a constant to the score of a given token?",
					"A certain token should be favoured, which option?",
				],
			},
		},
	},
	"bad-words": {
		names: ["bad words", "badWords", "the badWords option"],
		facts: {
			what: {
				answer:
					"badWords is a list of words that may never be generated. The engine sets the logit of the token that would complete such a word to minus infinity.",
				ask: [
					"How do I ban a word?",
					"What does badWords do?",
					"Can I forbid certain words?",
					"How are bad words kept out?",
					"How do I keep a word out of the answer?",
					"My app must never print a curse, which option blocks it?",
					"How are undesired words suppressed?",
				],
			},
		},
	},
	"allowed-tokens": {
		names: [
			"allowedTokenIds",
			"allowed token ids",
			"the allowed tokens option",
		],
		facts: {
			what: {
				answer:
					"allowedTokenIds restricts sampling to a given set of tokens, and all others become impossible. It suits tasks such as answering only yes or no.",
				ask: [
					"How do I allow only certain tokens?",
					"What does allowedTokenIds do?",
					"How can I force a yes or no answer?",
					"Can I restrict the vocabulary?",
					"How do I limit the output to a set of tokens?",
					"The model may only reply A, B or C, how do I enforce that?",
					"Is a whitelist of tokens possible?",
				],
			},
		},
	},
	"structured-output": {
		names: [
			"structured output",
			"constrained decoding",
			"guided decoding",
			"JSON mode",
		],
		facts: {
			what: {
				answer:
					"Structured output masks at every step the tokens that would break a grammar, such as a JSON schema. The text is then valid by construction.",
				ask: [
					"How do I force valid JSON?",
					"What does guided decoding do?",
					"How can the output follow a schema?",
					"How does constrained decoding work?",
					"Can the engine guarantee JSON?",
					"I need output that always parses, how do engines ensure that?",
					"What is meant by decoding under a grammar?",
				],
			},
		},
	},
	"beam-search": {
		names: ["beam search", "beams", "beam decoding"],
		facts: {
			what: {
				answer:
					"Beam search keeps several best partial answers and extends all of them at each step. It suits translation but is slow and makes chat answers dull.",
				ask: [
					"What does beam search do?",
					"What is a beam?",
					"Why is beam search rarely used for chat?",
					"How does beam search differ from greedy decoding?",
					"What is beam search good for?",
					"Is there a search that follows several candidate answers in parallel?",
					"Why don't chatbots like beam search?",
				],
			},
		},
	},
	"parallel-samples": {
		names: [
			"parallel sampling",
			"several samples per prompt",
			"the n parameter",
			"n samples",
		],
		facts: {
			what: {
				answer:
					"With n greater than 1 the engine makes several answers to one prompt. The prompt is prefilled once and its KV blocks are shared by all samples.",
				ask: [
					"How do I get several answers to one prompt?",
					"What does the parameter n do?",
					"Is the prompt computed again for each sample?",
					"Can I get three different answers at once?",
					"How do several samples share memory?",
					"I'd like five candidate replies for one question, how?",
					"If n is four, is my prompt processed four times?",
				],
			},
		},
	},
	"gumbel-trick": {
		names: ["the Gumbel trick", "Gumbel-max sampling", "the exponential race"],
		facts: {
			what: {
				answer:
					"The Gumbel trick adds random Gumbel noise to the logits and takes the largest. This samples exactly from softmax without a sum over the vocabulary, which suits a GPU.",
				ask: [
					"How can a GPU sample without a prefix sum?",
					"What is the Gumbel trick?",
					"How can argmax draw a random sample?",
					"Which noise turns argmax into sampling?",
					"Why is Gumbel noise added to logits?",
					"What is Gumbel noise good for when picking tokens?",
					"Drawing from softmax with nothing but a maximum, how?",
				],
			},
		},
	},
};
