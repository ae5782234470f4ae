/** Facts about the inside of a language model. */
import type { Topic } from "./topic.ts";

export const architectureTopics: Record<string, Topic> = {
	llm: {
		names: ["a language model", "an LLM", "a large language model", "LLMs"],
		facts: {
			what: {
				answer:
					"A large language model, LLM for short, predicts the next token of a text from the tokens before it. Repeating this prediction writes whole answers.",
				ask: [
					"What is a language model?",
					"What does an LLM predict?",
					"How does a language model write text?",
					"What does LLM stand for?",
					"How can a model that predicts one token write an answer?",
					"In plain terms, what sort of thing is an LLM?",
					"What task does a language model solve over and over?",
				],
			},
		},
	},
	inference: {
		names: ["inference", "LLM inference", "model inference"],
		facts: {
			what: {
				answer:
					"Inference means running a trained model to get answers. The weights stay fixed, while training changes them.",
				ask: [
					"What does inference mean?",
					"What is the difference between training and inference?",
					"Are weights changed during inference?",
					"What do we call running a trained model?",
					"Training vs inference?",
					"How is using a model called, as opposed to teaching it?",
					"Does a model learn while it answers me?",
				],
			},
		},
	},
	"inference-engine": {
		names: ["an inference engine", "an LLM engine", "an LLM inference engine"],
		facts: {
			what: {
				answer:
					"An inference engine loads a model's weights and serves requests with it as fast as the hardware allows. It takes care of batching, cache memory, sampling and kernels.",
				ask: [
					"What does an inference engine do?",
					"What is an LLM engine?",
					"Why do I need an engine to run a model?",
					"Which tasks does an inference engine have?",
					"What is vLLM or a similar engine for?",
					"I am a newbie: what is the business of an inference engine?",
					"What chores does an LLM engine take over for me?",
				],
			},
		},
	},
	transformer: {
		names: ["a transformer", "the transformer", "the transformer architecture"],
		facts: {
			what: {
				answer:
					"A transformer is a stack of equal layers, each with attention and a feed-forward network. Attention mixes information between tokens, the feed-forward part works on each token alone.",
				ask: [
					"What is a transformer made of?",
					"Which parts does a transformer layer have?",
					"How is a transformer built?",
					"What does a decoder layer contain?",
					"What are the building blocks of an LLM?",
					"Sketch the anatomy of a transformer.",
					"If I open up one layer of the model, what do I find?",
				],
			},
		},
	},
	attention: {
		names: [
			"attention",
			"self-attention",
			"the attention mechanism",
			"an attention layer",
		],
		facts: {
			what: {
				answer:
					"Attention lets each token gather information from earlier tokens. Its query is compared with their keys, and their values are averaged with the resulting weights.",
				ask: [
					"What does attention compute?",
					"How do tokens look at each other?",
					"How does self-attention work?",
					"How does a token get information from other tokens?",
					"What does an attention layer do?",
					"By what means does one word learn about the others?",
					"Attention in models: kindly illuminate.",
				],
			},
		},
	},
	qkv: {
		names: [
			"queries, keys and values",
			"query, key and value",
			"QKV",
			"q, k and v",
		],
		facts: {
			what: {
				answer:
					"Query, key and value are three projections of a token's hidden state. The query asks, the key says what a token offers, and the value is what it hands over.",
				ask: [
					"What are queries, keys and values?",
					"What does the query do in attention?",
					"What is the difference between a key and a value?",
					"What do Q, K and V mean?",
					"What are the three projections in attention?",
					"In attention, who asks, who offers and who delivers?",
					"Tell apart key, query and value for me.",
				],
			},
		},
	},
	"causal-mask": {
		names: ["the causal mask", "causal masking", "a causal attention mask"],
		facts: {
			what: {
				answer:
					"The causal mask lets each token attend only to itself and earlier tokens. That is why keys and values can be cached: later tokens never change them.",
				ask: [
					"What does the causal mask do?",
					"Can a token see later tokens?",
					"Why can keys and values be cached at all?",
					"What does causal attention mean?",
					"Why does a token not look ahead?",
					"Is a token permitted to peek into the future?",
					"Which mask hides the tokens to the right?",
				],
			},
		},
	},
	"attention-heads": {
		names: [
			"attention heads",
			"multi-head attention",
			"an attention head",
			"MHA",
		],
		facts: {
			what: {
				answer:
					"Attention heads are several small attentions that run side by side, each with its own queries, keys and values. Each head can look for something different.",
				ask: [
					"What is an attention head?",
					"Why does attention have several heads?",
					"What does multi-head attention mean?",
					"What does each head do?",
					"How do heads differ from each other?",
					"Why split attention into many small ones?",
					"A config says 16 heads, what are those?",
				],
			},
		},
	},
	gqa: {
		names: ["grouped-query attention", "GQA", "grouped query attention"],
		facts: {
			what: {
				answer:
					"In grouped-query attention several query heads share one key and value head. Qwen3-0.6B, for example, has 16 query heads and 8 KV heads.",
				ask: [
					"What does GQA mean?",
					"How do query heads share keys and values?",
					"What is grouped in grouped-query attention?",
					"Why are there fewer KV heads than query heads?",
					"How does GQA differ from multi-head attention?",
					"My config lists fewer key-value heads than heads, what is that scheme?",
					"Define the acronym GQA and its idea.",
				],
			},
			why: {
				answer:
					"Grouped-query attention shrinks the KV cache by the number of query heads per KV head. Less memory is read per token, so decode gets faster at almost the same quality.",
				ask: [
					"Why do models use GQA?",
					"How does GQA save memory?",
					"Does GQA make decode faster?",
					"What is the gain of sharing KV heads?",
					"How much smaller is the KV cache with GQA?",
					"What benefit comes from several heads sharing keys and values?",
					"For what reason did model makers adopt grouped queries?",
				],
			},
		},
	},
	mqa: {
		names: ["multi-query attention", "MQA"],
		facts: {
			what: {
				answer:
					"Multi-query attention is the extreme case in which all query heads share a single key and value head. The cache is smallest, but quality can suffer.",
				ask: [
					"What does MQA mean?",
					"What if all heads share one KV head?",
					"How does MQA differ from GQA?",
					"What is the drawback of multi-query attention?",
					"Which attention has only one KV head?",
					"Just one key-value head for everything: what is this variant?",
					"Would MQA harm my quality?",
				],
			},
		},
	},
	rope: {
		names: [
			"RoPE",
			"rotary position embedding",
			"rotary embeddings",
			"rotary positions",
		],
		facts: {
			what: {
				answer:
					"RoPE, the rotary position embedding, rotates pairs of numbers in queries and keys by an angle that grows with the token's position. Their product then depends only on the distance between two tokens.",
				ask: [
					"What does RoPE do?",
					"What is rotated in rotary embeddings?",
					"How does the model know the order of tokens?",
					"What does RoPE stand for?",
					"How are positions encoded in the model?",
					"How do models tell the first word from the tenth?",
					"What is being turned around in rotary embeddings?",
				],
			},
			theta: {
				answer:
					"The RoPE base, called rope_theta, sets how slowly the angles turn. A larger base lets the model tell apart positions over longer contexts.",
				ask: [
					"What is rope_theta?",
					"What does the RoPE base do?",
					"Which RoPE setting is for long contexts?",
					"Why is rope_theta 1000000 in some models?",
					"What does a larger RoPE base change?",
					"In config.json I found rope_theta, what does that number control?",
					"How do the angles in RoPE get slower?",
				],
				subjects: ["rope_theta", "the RoPE base", "the theta of RoPE"],
			},
		},
	},
	rmsnorm: {
		names: ["RMSNorm", "RMS norm", "root mean square normalization"],
		facts: {
			what: {
				answer:
					"RMSNorm divides a vector by the root of the mean of its squares and multiplies by learned weights. Unlike LayerNorm it subtracts no mean and has no bias.",
				ask: [
					"What does RMSNorm compute?",
					"How does RMSNorm differ from LayerNorm?",
					"What is the formula of RMSNorm?",
					"What does RMS stand for?",
					"Which normalization do modern LLMs use?",
					"LayerNorm and RMSNorm, where do they part ways?",
					"How are hidden vectors kept at a stable scale?",
				],
			},
			epsilon: {
				answer:
					"The small epsilon in RMSNorm is added to the mean square before the root. It avoids division by zero and must match the model's config to get the same results.",
				ask: [
					"What is rms_norm_eps?",
					"Why is there an epsilon in RMSNorm?",
					"What is the epsilon of the norm for?",
					"Where is epsilon added in RMSNorm?",
					"What happens if rms_norm_eps is wrong?",
					"A tiny constant sits in my norm layer, what for?",
					"Which value protects the norm against dividing by zero?",
				],
				subjects: [
					"the epsilon in RMSNorm",
					"rms_norm_eps",
					"the norm epsilon",
				],
			},
		},
	},
	"qk-norm": {
		names: ["QK norm", "q/k norm", "query-key normalization", "QK-Norm"],
		facts: {
			what: {
				answer:
					"QK norm applies RMSNorm to every query and key head before RoPE. It keeps the attention scores in range and makes training stable, and Qwen3 uses it.",
				ask: [
					"What does QK norm do?",
					"Why are queries and keys normalized?",
					"Which model family uses QK norm?",
					"Where is the norm applied in Qwen3 attention?",
					"What is normalized in QK norm?",
					"Qwen3 normalizes something inside attention, what and why?",
					"What good is a norm on q and k?",
				],
			},
		},
	},
	mlp: {
		names: [
			"the feed-forward network",
			"the MLP",
			"the FFN",
			"a feed-forward layer",
		],
		facts: {
			what: {
				answer:
					"The feed-forward network widens each token's vector, applies a nonlinear function and projects it back. It holds most of the weights of a dense model.",
				ask: [
					"What does the feed-forward network do?",
					"What is the MLP in a transformer?",
					"Where are most weights of a model?",
					"What happens after attention in a layer?",
					"What does FFN stand for?",
					"Besides attention, which half of a layer holds the bulk of the parameters?",
					"What job has the MLP block?",
				],
			},
		},
	},
	swiglu: {
		names: [
			"SwiGLU",
			"the SwiGLU activation",
			"a gated MLP",
			"gated feed-forward",
		],
		facts: {
			what: {
				answer:
					"SwiGLU multiplies two projections of the input, one of them passed through SiLU as a gate. The product is then projected back by the down projection.",
				ask: [
					"What does SwiGLU compute?",
					"What are the gate and up projections?",
					"Which activation do Llama and Qwen use?",
					"What is gated in a gated MLP?",
					"Why does the MLP have three matrices?",
					"gate_proj, up_proj, down_proj: how do they play together?",
					"Could you spell out the SwiGLU formula?",
				],
			},
		},
	},
	silu: {
		names: ["SiLU", "the SiLU function", "the swish function"],
		facts: {
			what: {
				answer:
					"SiLU multiplies x by the sigmoid of x. It is smooth, close to zero for very negative numbers and close to x for large ones.",
				ask: [
					"What is the formula of SiLU?",
					"What does SiLU compute?",
					"What is swish?",
					"How does SiLU treat negative numbers?",
					"Which function multiplies x by its sigmoid?",
					"x times sigmoid(x), how is it called?",
					"Describe the shape of the swish curve.",
				],
			},
		},
	},
	residual: {
		names: [
			"the residual stream",
			"residual connections",
			"a residual connection",
			"skip connections",
		],
		facts: {
			what: {
				answer:
					"A residual connection adds the output of a block to its input. The sum runs through all layers like a stream and keeps deep models trainable.",
				ask: [
					"What does a residual connection do?",
					"Why is the input of a block added to its output?",
					"What is the residual stream?",
					"Why do deep models need skip connections?",
					"What flows from layer to layer?",
					"Why does every block add itself onto what came in?",
					"What are shortcuts around a layer good for?",
				],
			},
		},
	},
	embedding: {
		names: [
			"the token embedding",
			"the embedding table",
			"an embedding",
			"token embeddings",
		],
		facts: {
			what: {
				answer:
					"The embedding table holds one learned vector for each token of the vocabulary. The first thing a model does is to look up the vector of each token id.",
				ask: [
					"What does the embedding layer do?",
					"How does a token id become a vector?",
					"What is in the embedding table?",
					"What is the first thing a model does with tokens?",
					"How large is the embedding table?",
					"Integers go in, so how does the network get vectors?",
					"What is looked up at the very start of the model?",
				],
			},
			tied: {
				answer:
					"Tied embeddings mean that the output layer uses the same matrix as the embedding table. This saves many weights in small models with a large vocabulary.",
				ask: [
					"What are tied embeddings?",
					"What does tie_word_embeddings mean?",
					"Why do small models tie their embeddings?",
					"Can the input and output matrix be the same?",
					"Why is there no lm_head weight in my file?",
					"The checkpoint has no lm_head, is it broken?",
					"One matrix used at both ends of the model, what is that named?",
				],
				subjects: ["tied embeddings", "weight tying", "tie_word_embeddings"],
			},
		},
	},
	"lm-head": {
		names: [
			"the lm_head",
			"the LM head",
			"the output layer",
			"the language model head",
		],
		facts: {
			what: {
				answer:
					"The LM head multiplies the last hidden state by a matrix with one row per token and so gives the logits. The engine computes it only for the positions whose next token is needed.",
				ask: [
					"What does the lm_head do?",
					"What is the last matrix of a model?",
					"For which tokens are logits computed?",
					"How are logits computed?",
					"Does the engine compute logits for all prompt tokens?",
					"Hidden state to scores: which layer makes this jump?",
					"Must every position of a prompt go through the output layer?",
				],
			},
		},
	},
	"hidden-size": {
		names: ["the hidden size", "hidden size", "the model width", "hidden_size"],
		facts: {
			what: {
				answer:
					"The hidden size is the length of the vector that stands for each token inside the model. Qwen3-0.6B uses 1024 numbers per token.",
				ask: [
					"What is hidden_size?",
					"How wide is a model?",
					"How long is the vector of a token?",
					"What does the width of a model mean?",
					"How many numbers stand for one token?",
					"What does 1024 in the hidden_size field tell me?",
					"By how many values is each token represented?",
				],
			},
		},
	},
	parameters: {
		names: [
			"parameters",
			"model parameters",
			"the weights of a model",
			"weights",
		],
		facts: {
			what: {
				answer:
					"Parameters, also called weights, are the numbers a model has learned in training. A model with 600 million of them in bf16 takes about 1.2 GB.",
				ask: [
					"What are weights?",
					"How much memory do weights need?",
					"How large is a model with 600 million parameters?",
					"What does 0.6B mean in a model name?",
					"What has a model learned in training?",
					"The B in 8B, what is being counted?",
					"How many gigabytes will the numbers of a model occupy?",
				],
			},
		},
	},
	moe: {
		names: [
			"a mixture of experts",
			"MoE",
			"mixture of experts",
			"a sparse model",
		],
		facts: {
			what: {
				answer:
					"A mixture of experts replaces the feed-forward network by many small ones, of which a router picks a few for each token. So a large model costs only a fraction of its weights per token.",
				ask: [
					"What does MoE mean?",
					"What is an expert in a mixture of experts?",
					"How can a large model be cheap per token?",
					"What does a sparse model do?",
					"How many experts run for a token?",
					"Some models have experts inside, what is that idea?",
					"How come a 30B model runs as if it had just 3B?",
				],
			},
			router: {
				answer:
					"The router is a small linear layer that scores all experts for a token. The best few run, and their outputs are added with the scores as weights.",
				ask: [
					"What does the router do in MoE?",
					"How are experts chosen?",
					"Which layer picks the experts?",
					"How are the outputs of experts combined?",
					"How does a token find its experts?",
					"Who decides which expert sees which token?",
					"After several experts ran, how do you merge their results?",
				],
				subjects: [
					"the MoE router",
					"the router",
					"expert routing",
					"the gating layer of a mixture of experts",
				],
			},
		},
	},
	"sliding-window": {
		names: ["sliding-window attention", "a sliding window", "local attention"],
		facts: {
			what: {
				answer:
					"Sliding-window attention lets a token see only the last few thousand tokens. The cache of such a layer stays small, and other layers may still see everything.",
				ask: [
					"What does a sliding window do?",
					"What is local attention?",
					"How can attention be limited to recent tokens?",
					"Why do some layers see only a part of the context?",
					"How does a sliding window save memory?",
					"Could a layer forget what lies far behind?",
					"Attention that only covers the recent past: explain.",
				],
			},
		},
	},
	"flash-attention": {
		names: ["flash attention", "FlashAttention", "tiled attention"],
		facts: {
			what: {
				answer:
					"Flash attention computes attention tile by tile in fast on-chip memory and never stores the full score matrix. The result is exact, but far less memory traffic is needed.",
				ask: [
					"What does flash attention do?",
					"Is flash attention exact?",
					"Why is flash attention fast?",
					"How does flash attention avoid the score matrix?",
					"How can attention be computed in tiles?",
					"Do I lose precision when I turn on FlashAttention?",
					"What is the secret of flash attention's speed?",
				],
			},
		},
	},
	"online-softmax": {
		names: ["online softmax", "streaming softmax", "running softmax"],
		facts: {
			what: {
				answer:
					"Online softmax computes softmax in one pass by keeping a running maximum and a running sum. When a larger maximum appears, the old sums are scaled down.",
				ask: [
					"How does online softmax work?",
					"How can softmax be computed in one pass?",
					"Why is a running maximum kept?",
					"Which trick lets attention work in tiles?",
					"What is rescaled in online softmax?",
					"A single sweep over the scores that still gives softmax: how?",
					"When a bigger score shows up midway, what must be corrected?",
				],
			},
		},
	},
	lora: {
		names: ["LoRA", "low-rank adapters", "a LoRA adapter"],
		facts: {
			what: {
				answer:
					"LoRA, low-rank adaptation, adds two thin matrices beside a weight and trains only those. The adapter is small, so one base model can serve many of them at once.",
				ask: [
					"What does LoRA do?",
					"What does LoRA stand for?",
					"How can I fine-tune a model cheaply?",
					"What is a low-rank adapter?",
					"Can one base model serve many fine-tunes?",
					"Adapting a model without touching its big matrices, how?",
					"What is in a LoRA file?",
				],
			},
		},
	},
	"speculative-decoding": {
		names: [
			"speculative decoding",
			"speculation",
			"speculative sampling",
			"draft decoding",
		],
		facts: {
			what: {
				answer:
					"In speculative decoding a small draft model guesses several tokens and the large model checks them in one step. Accepted guesses are tokens won almost for free.",
				ask: [
					"What does speculative decoding do?",
					"What is a draft model?",
					"How can a small model speed up a large one?",
					"How are several tokens made in one step?",
					"How does speculation speed up decode?",
					"Guessing ahead and verifying afterwards, which technique is it?",
					"Please outline speculative decoding.",
				],
			},
			lossless: {
				answer:
					"Speculative decoding does not change the output distribution, because a wrong guess is rejected and drawn again from the large model. Only the speed depends on the draft.",
				ask: [
					"Does speculative decoding change the output?",
					"Is speculative decoding lossless?",
					"What happens to a wrong guess of the draft model?",
					"Does the quality suffer from a draft model?",
					"What if the draft model is bad?",
					"Will my text get worse when a tiny model guesses ahead?",
					"When a speculated token is refused, what follows?",
				],
				subjects: [
					"the exactness of speculative decoding",
					"rejection in speculative decoding",
				],
			},
		},
	},
	ngram: {
		names: ["n-gram speculation", "prompt lookup decoding", "n-gram drafts"],
		facts: {
			what: {
				answer:
					"N-gram speculation needs no draft model: it looks for the last few tokens earlier in the text and proposes what followed there. It shines when an answer quotes its prompt.",
				ask: [
					"What is prompt lookup decoding?",
					"Can I speculate without a draft model?",
					"How does n-gram speculation guess tokens?",
					"When does n-gram speculation help?",
					"Where do n-gram drafts come from?",
					"Drafting with no second model, is this possible?",
					"Which speculation copies from the prompt?",
				],
			},
		},
	},
};
