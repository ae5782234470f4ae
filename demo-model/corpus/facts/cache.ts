/** Facts about the KV cache and the memory it lives in. */
import type { Topic } from "./topic.ts";

export const cacheTopics: Record<string, Topic> = {
	"kv-cache": {
		names: [
			"the KV cache",
			"a KV cache",
			"KV cache",
			"the key-value cache",
			"the cache of keys and values",
		],
		facts: {
			what: {
				answer:
					"The KV cache keeps the attention keys and values of all tokens seen so far. Each new token then only computes its own key and value and reads the rest, instead of running the whole text through the model again.",
				ask: [
					"What is kept in the KV cache?",
					"What does an engine store in its key-value cache?",
					"What does KV stand for in KV cache?",
					"Which data goes into the cache of an LLM?",
					"What are cached keys and values?",
					"People keep saying KV cache, what on earth do they mean by it?",
					"Give me a definition for the key-value cache of a transformer.",
				],
			},
			why: {
				answer:
					"Without a KV cache every new token would cost a pass over the whole text so far. With it, the work per new token stays one token's worth of matrix products plus a read of the cache.",
				ask: [
					"What would happen without a KV cache?",
					"Why do we cache keys and values at all?",
					"Why not recompute the keys and values for each token?",
					"How does caching keys and values save work?",
					"Would generation be slower without the KV cache?",
					"Suppose I switched the KV cache off, how bad would it get?",
					"What do we gain by remembering keys and values between tokens?",
				],
			},
			size: {
				answer:
					"The KV cache takes 2 x layers x KV heads x head dimension x bytes per number for every token. The 2 stands for one key and one value, so long contexts and many requests need a lot of memory.",
				ask: [
					"How big is the KV cache?",
					"How much memory does the KV cache need per token?",
					"How do I compute the size of the KV cache?",
					"What is the formula for KV cache memory?",
					"How many bytes does one token take in the cache?",
					"What determines the size of the KV cache?",
					"I want to estimate the gigabytes my key-value cache will eat.",
					"For a single token, what is the footprint in the KV cache?",
				],
				subjects: [
					"the size of the KV cache",
					"the memory use of the KV cache",
					"KV cache bytes per token",
				],
			},
			precision: {
				answer:
					"A KV cache can be stored in 8 bits to fit about twice as many tokens in the same memory. Keys and values are then rounded, so quality can drop a little and should be measured.",
				ask: [
					"Can the KV cache be quantized?",
					"What does an fp8 KV cache do?",
					"Can I store the KV cache in 8 bits?",
					"What happens if the cache has a smaller dtype?",
					"Should I use a lower precision for the KV cache?",
					"Is it fine to keep keys and values in fewer bits?",
					"What would I get from an int8 cache of keys and values?",
				],
				subjects: [
					"KV cache quantization",
					"an 8-bit KV cache",
					"the KV cache dtype",
				],
			},
		},
	},
	"paged-attention": {
		names: [
			"paged attention",
			"PagedAttention",
			"paged KV cache",
			"paging of the KV cache",
			"attention over pages",
		],
		facts: {
			what: {
				answer:
					"Paged attention stores the KV cache in small blocks of fixed size that may lie anywhere in memory. A block table tells the attention kernel where the blocks of each request are, much like pages in an operating system.",
				ask: [
					"What does paged attention do?",
					"What is paged about paged attention?",
					"How does paged attention store keys and values?",
					"Which idea from operating systems does paged attention borrow?",
					"What is the paged layout of the cache?",
					"A colleague keeps mentioning paged attention, care to enlighten me?",
					"In what manner does PagedAttention lay out its memory?",
				],
			},
			why: {
				answer:
					"Paging the KV cache wastes almost no memory, because a request only takes the blocks it really fills. More requests fit at once, and that raises throughput.",
				ask: [
					"Why do engines page the KV cache?",
					"Why is paged attention better than one long buffer per request?",
					"What problem does paged attention solve?",
					"Why not reserve the longest possible length for each request?",
					"What did people gain from paged attention?",
					"What makes paging the cache worth the trouble?",
					"Convince me that PagedAttention beats a contiguous buffer.",
				],
			},
		},
	},
	"kv-block": {
		names: [
			"a KV block",
			"a cache block",
			"a block of the KV cache",
			"a KV page",
		],
		facts: {
			what: {
				answer:
					"A KV block is a fixed number of token slots in the KV cache, often 16. Blocks are the unit in which cache memory is handed out, shared and freed.",
				ask: [
					"What does block mean in a paged cache?",
					"How many tokens does a block hold?",
					"What is the unit of cache allocation?",
					"In what pieces is cache memory handed out?",
					"What is one page of the KV cache?",
					"When an engine allocates cache space, what chunk does it allocate?",
					"Describe a single block in the paged cache for me.",
				],
			},
			size: {
				answer:
					"Small blocks waste less memory and share prefixes more finely, while large blocks mean shorter block tables and longer reads in a row. Sixteen tokens is a common middle.",
				ask: [
					"Which block size should I choose?",
					"What is a good block size?",
					"Are small blocks better than large blocks?",
					"What is the trade-off of the block size?",
					"How does block size affect performance?",
					"Why are blocks often 16 tokens?",
					"Would bigger blocks in the cache be a mistake?",
					"I can set the block size, how do I decide on it?",
				],
				subjects: [
					"the block size",
					"the size of a KV block",
					"the block size setting",
				],
			},
		},
	},
	"block-table": {
		names: [
			"a block table",
			"the block table",
			"block tables",
			"a page table for the cache",
		],
		facts: {
			what: {
				answer:
					"A block table lists, for one request, the physical KV blocks that hold its tokens in order. Token position p lies in entry p divided by the block size, at the remainder.",
				ask: [
					"What does a block table map?",
					"How does the kernel find the blocks of a request?",
					"How are token positions mapped to cache blocks?",
					"What is stored in a block table?",
					"How do I look up a token in the block table?",
					"Which structure says where the cached tokens of a request live?",
					"Block tables puzzle me, could you clarify?",
				],
			},
		},
	},
	"slot-mapping": {
		names: ["the slot mapping", "slot mapping", "slotMapping", "a slot map"],
		facts: {
			what: {
				answer:
					"The slot mapping says for each token of a step in which slot of the KV cache its key and value are written. The slot is block number x block size + offset inside the block.",
				ask: [
					"What does the slot mapping tell the kernel?",
					"Where does the kernel write a new key and value?",
					"How is a cache slot computed from a block?",
					"What is slotMapping used for?",
					"How do new tokens know their place in the cache?",
					"How does a step decide where fresh keys and values go?",
					"Slot mapping: no clue, please enlighten me.",
				],
			},
		},
	},
	"block-manager": {
		names: [
			"the block manager",
			"a block manager",
			"the block allocator",
			"BlockManager",
			"the KV cache manager",
		],
		facts: {
			what: {
				answer:
					"The block manager hands out KV blocks, counts who uses them and takes them back. It works on integers only and never touches the GPU memory itself.",
				ask: [
					"What does the block manager do?",
					"Which component allocates KV blocks?",
					"Who keeps track of free blocks?",
					"What is the job of the block allocator?",
					"Does the block manager touch GPU memory?",
					"Who is in charge of giving cache blocks to requests?",
					"Summarize the responsibilities of the block manager.",
				],
			},
			law: {
				answer:
					"Every KV block is either free or referenced, never both, and free plus used blocks add up to all blocks. An engine can check this law after every step to catch leaks early.",
				ask: [
					"Which invariant should the block manager hold?",
					"How can I detect leaked KV blocks?",
					"What does an integrity check of the cache verify?",
					"What must be true of free and used blocks?",
					"How do I test that no block is lost?",
					"How would you prove that no cache block got lost?",
					"Is there some rule that free and occupied blocks must obey?",
				],
				subjects: [
					"the integrity check of the blocks",
					"the invariant of the block manager",
					"checkIntegrity",
				],
			},
		},
	},
	"reference-count": {
		names: [
			"a reference count",
			"reference counting of blocks",
			"the reference count of a block",
			"block ref counts",
		],
		facts: {
			what: {
				answer:
					"A reference count tells how many requests use a KV block right now. The block may be freed only when its count falls to zero.",
				ask: [
					"Why do KV blocks have reference counts?",
					"When may a block be freed?",
					"How does the engine know that a shared block is still in use?",
					"What happens when a reference count reaches zero?",
					"How are shared blocks tracked?",
					"Two requests use one block, how do we know when nobody needs it?",
					"Please describe refcounts on cache blocks.",
				],
			},
		},
	},
	"copy-on-write": {
		names: ["copy on write", "copy-on-write", "copy on write for KV blocks"],
		facts: {
			what: {
				answer:
					"Copy on write means that a shared KV block is copied only when one of its users wants to write into it. Until then all users read the same block.",
				ask: [
					"When is a shared block copied?",
					"What happens when a request writes into a shared block?",
					"How can several samples share blocks safely?",
					"Why is copying of blocks delayed?",
					"What does copy on write save?",
					"Two samples share a block and one of them appends a token, what now?",
					"I need a definition for copy-on-write.",
				],
			},
		},
	},
	"prefix-cache": {
		names: [
			"prefix caching",
			"the prefix cache",
			"a prefix cache",
			"automatic prefix caching",
			"prompt caching",
		],
		facts: {
			what: {
				answer:
					"Prefix caching keeps the KV blocks of earlier prompts and reuses them when a new prompt starts with the same tokens. Only the part that differs has to be computed.",
				ask: [
					"What does prefix caching do?",
					"What does the prefix cache reuse?",
					"Can two prompts share their beginning?",
					"What happens when two prompts start with the same text?",
					"Can cached blocks be shared between requests?",
					"Somebody told me to enable prefix caching, what would that do?",
					"Is the common start of my prompts computed only once?",
				],
			},
			why: {
				answer:
					"Prefix caching shortens the time to the first token when prompts share a beginning, such as a system prompt, a few examples or an earlier chat turn. The results stay the same.",
				ask: [
					"When does prefix caching help?",
					"Which workloads profit from prefix caching?",
					"Does prefix caching change the output?",
					"Is the prefix cache good for chat?",
					"Why does a shared system prompt get cheaper?",
					"Who profits most from a prefix cache?",
					"My requests all carry the same long system prompt, can that be made cheap?",
				],
			},
			how: {
				answer:
					"Each full KV block gets a hash of its tokens and of the block before it. A new prompt looks its blocks up by hash, and the first miss ends the shared prefix.",
				ask: [
					"How does the engine find a cached prefix?",
					"How are cached blocks looked up?",
					"Why are blocks hashed?",
					"What goes into the hash of a block?",
					"How does the prefix cache know that blocks are equal?",
					"By what mechanism are cached prefixes recognised?",
					"What role do hashes play for blocks?",
				],
			},
			eviction: {
				answer:
					"Cached blocks that no request uses stay until memory is needed, and then the least recently used ones go first. Blocks in use are never evicted.",
				ask: [
					"When are cached blocks evicted?",
					"Which blocks does the prefix cache throw away first?",
					"How long do cached prefixes live?",
					"What happens to cached blocks when memory is short?",
					"Does the prefix cache ever shrink?",
					"What is LRU eviction?",
					"Space is tight: which old prefixes get dropped?",
					"Tell me the order in which unused cached blocks disappear.",
				],
				subjects: [
					"eviction from the prefix cache",
					"LRU eviction",
					"the eviction policy",
				],
			},
			partial: {
				answer:
					"Only full blocks are shared, so a common prefix is reused up to the last full block. A prefix shorter than one block gives no reuse at all.",
				ask: [
					"Are half-filled blocks shared in the prefix cache?",
					"Why was my short prefix not cached?",
					"Can a partial block be reused?",
					"Is every shared token reused by the prefix cache?",
					"Why does prefix caching round down to blocks?",
					"My prompts share five tokens but nothing got reused, explain that.",
					"What about a block that is only half full, can others use it?",
				],
				subjects: [
					"sharing of partial blocks",
					"prefix reuse of half-filled blocks",
				],
			},
		},
	},
	fragmentation: {
		names: [
			"fragmentation",
			"memory fragmentation",
			"fragmentation of the KV cache",
		],
		facts: {
			what: {
				answer:
					"Fragmentation is memory that is reserved or scattered in such a way that it cannot be used. With paged blocks only the last, partly filled block of each request is wasted.",
				ask: [
					"How much memory is wasted with paged blocks?",
					"What is internal fragmentation of the cache?",
					"Why do contiguous caches waste memory?",
					"How does paging avoid fragmentation?",
					"Which part of the cache stays unused?",
					"How much of a paged cache goes to waste?",
					"Could you describe memory fragmentation to a beginner?",
				],
			},
		},
	},
	preemption: {
		names: ["preemption", "preempting a request", "a preempted request"],
		facts: {
			what: {
				answer:
					"Preemption takes the KV blocks away from a running request when no free blocks are left. The request goes back to the waiting queue and continues later, with the same result.",
				ask: [
					"What happens when the KV cache is full?",
					"What does the engine do when it runs out of blocks?",
					"Can a running request be paused?",
					"What happens if there are no free blocks left?",
					"Does a preempted request lose its output?",
					"All blocks are taken and a request needs one more, what now?",
					"My log says a request was preempted, is that bad?",
				],
			},
			how: {
				answer:
					"A preempted request is usually recomputed: when it is scheduled again, its prompt and the tokens made so far are prefilled in one go. This is often cheaper than copying its blocks to main memory and back.",
				ask: [
					"How does a preempted request resume?",
					"Are tokens of a preempted request computed again?",
					"What is recompute preemption?",
					"How is a paused request continued?",
					"Recompute or swap, what is better?",
					"How does a request get back to work after it was preempted?",
					"Once kicked out, must a request start over?",
				],
			},
			who: {
				answer:
					"The request that arrived last is preempted first. So older requests keep running and finish, and the engine always makes progress.",
				ask: [
					"Which request is preempted first?",
					"How does the scheduler choose a victim?",
					"Who loses its blocks when memory is short?",
					"Is the newest or the oldest request preempted?",
					"Which request must give up its blocks?",
					"If someone must be thrown out, who is it?",
					"Do early requests lose their place to later ones?",
				],
				subjects: [
					"the choice of the victim in preemption",
					"the preemption order",
				],
			},
		},
	},
	swapping: {
		names: [
			"swapping",
			"KV cache swapping",
			"swapping blocks to CPU memory",
			"KV offloading",
		],
		facts: {
			what: {
				answer:
					"Swapping copies the KV blocks of a paused request to main memory and brings them back later. It saves computing them again but needs a fast link between CPU and GPU.",
				ask: [
					"Can KV blocks be moved to CPU memory?",
					"What is offloading of the KV cache?",
					"Can the cache spill to main memory?",
					"What does swapping do with blocks?",
					"When is swapping better than recompute?",
					"Is it possible to park cache blocks in ordinary RAM?",
					"Explain what swapped blocks are.",
				],
			},
		},
	},
	"out-of-memory": {
		names: [
			"running out of memory",
			"an out-of-memory error",
			"OOM",
			"out of memory",
		],
		facts: {
			what: {
				answer:
					"When memory runs out at load time, use a smaller or quantized model, a shorter maximum length or fewer sequences at once. The KV cache is sized once at start, so a running engine preempts instead of failing.",
				ask: [
					"I get an out-of-memory error, what can I do?",
					"How do I fix OOM?",
					"The model does not fit into memory. What now?",
					"What can I change when the GPU memory is too small?",
					"How can I reduce memory use?",
					"Loading crashes because my card is too small, any advice?",
					"How do I make a model fit on a little GPU?",
				],
			},
		},
	},
	"cache-budget": {
		names: [
			"the KV cache budget",
			"the memory budget of the cache",
			"gpuMemoryUtilization",
			"kvCacheMemoryBytes",
		],
		facts: {
			what: {
				answer:
					"The engine gives the KV cache the memory that is left after weights and work buffers, or a number of bytes you set. This budget divided by the bytes per block is the number of blocks.",
				ask: [
					"How many KV blocks does the engine have?",
					"How does the engine decide how much cache to allocate?",
					"How is the number of blocks computed?",
					"How much memory is given to the cache?",
					"What does gpuMemoryUtilization set?",
					"What decides the total count of cache blocks at startup?",
					"How do I tell the engine how many bytes the cache may have?",
				],
			},
		},
	},
	"context-length": {
		names: [
			"the context length",
			"the context window",
			"context size",
			"maxModelLen",
			"the maximum model length",
		],
		facts: {
			what: {
				answer:
					"The context length is the largest number of tokens, prompt and answer together, that a model can look at. It is set by training and can be limited further by the engine to save memory.",
				ask: [
					"How long can a prompt be?",
					"What limits the length of a conversation?",
					"How many tokens can a model see at once?",
					"What is maxModelLen?",
					"What does the context window include?",
					"Is there a cap on how much text a model can consider?",
					"Clarify context windows for me, please.",
				],
			},
			long: {
				answer:
					"Long contexts cost memory for the KV cache and time for attention, which reads all earlier tokens for every new one. Twice the context means about twice the cache read per token.",
				ask: [
					"Why are long contexts expensive?",
					"Why does generation get slower with a longer context?",
					"What does a long prompt cost?",
					"How does context length affect speed?",
					"What happens to speed if I double the context?",
					"My chat became sluggish after many turns, how come?",
					"What bill do I pay for huge contexts?",
				],
				subjects: ["the cost of a long context", "the price of long prompts"],
			},
		},
	},
};
