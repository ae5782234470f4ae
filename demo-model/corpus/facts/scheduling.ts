/** Facts about batching and the scheduler: who runs when. */
import type { Topic } from "./topic.ts";

export const schedulingTopics: Record<string, Topic> = {
	"continuous-batching": {
		names: [
			"continuous batching",
			"in-flight batching",
			"dynamic batching of requests",
			"iteration-level batching",
		],
		facts: {
			what: {
				answer:
					"Continuous batching rebuilds the batch at every step: finished requests leave at once and waiting ones join. Nobody waits for the slowest request of a fixed batch.",
				ask: [
					"What does continuous batching do?",
					"When can a new request join the batch?",
					"What is continuous about continuous batching?",
					"Can requests join while others are running?",
					"How are requests batched in a modern engine?",
					"The docs boast about continuous batching, what could that be?",
					"Do newcomers get in before the current batch is finished?",
				],
			},
			why: {
				answer:
					"Continuous batching keeps the device busy, because a freed place is filled in the very next step. Throughput is often several times that of fixed batches, and waiting times are shorter.",
				ask: [
					"Why is continuous batching so fast?",
					"What does continuous batching gain over a fixed batch?",
					"Is continuous batching worth it?",
					"How much does continuous batching help?",
					"Why do engines batch per step?",
					"What would I win by moving to continuous batching?",
					"Sell me continuous batching in a sentence or two.",
				],
			},
		},
	},
	"static-batching": {
		names: ["static batching", "a static batch", "fixed batches"],
		facts: {
			what: {
				answer:
					"Static batching runs a fixed group of requests until the longest one is done. Short requests finish early but their places stay empty, so much of the device is idle.",
				ask: [
					"What is wrong with static batching?",
					"What happens to short requests in a fixed batch?",
					"How does static batching work?",
					"What is the drawback of fixed batches?",
					"Why is a fixed batch wasteful?",
					"Why did people abandon static batches?",
					"Old servers ran one fixed group to the end, why is that poor?",
				],
			},
		},
	},
	batching: {
		names: ["batching", "a batch", "batching of requests"],
		facts: {
			what: {
				answer:
					"A batch is a group of requests that go through the model in the same step. The weights are read once for all of them, so the cost per request falls.",
				ask: [
					"What is a batch?",
					"Why do we batch requests?",
					"Why are many requests at once cheaper than one by one?",
					"What does a larger batch gain?",
					"Why does batching raise throughput?",
					"Why serve ten people together instead of one after another?",
					"How come handling requests in groups is cheaper?",
				],
			},
			limit: {
				answer:
					"A larger batch raises throughput until compute or KV cache memory is exhausted. After that it only makes every request slower.",
				ask: [
					"How large should a batch be?",
					"Is a bigger batch always better?",
					"When does a larger batch stop helping?",
					"What limits the batch size?",
					"Can a batch be too large?",
					"At what point do more requests at once no longer pay off?",
					"Should I crank the batch size up as far as possible?",
				],
				subjects: ["the limit of the batch size", "the best batch size"],
			},
		},
	},
	"ragged-batch": {
		names: ["a ragged batch", "ragged batching", "a batch without padding"],
		facts: {
			what: {
				answer:
					"A ragged batch joins tokens of different requests in one flat list without padding. Start offsets tell the kernels which tokens belong to which request.",
				ask: [
					"How can requests of different length share a batch?",
					"Does the engine pad prompts?",
					"How are sequences of different length packed?",
					"What does ragged mean here?",
					"Why is no padding needed?",
					"My prompts all differ in length, do you fill them up with dummies?",
					"Is there padding inside a step?",
				],
			},
		},
	},
	scheduler: {
		names: [
			"the scheduler",
			"a scheduler",
			"request scheduling",
			"the scheduler of an engine",
		],
		facts: {
			what: {
				answer:
					"The scheduler decides before every step which requests run and how many tokens each may process. It looks at the token budget, the free KV blocks and the order of arrival.",
				ask: [
					"What does the scheduler decide?",
					"Who decides which requests run next?",
					"What is the job of the scheduler?",
					"Which component picks the requests of a step?",
					"What does the scheduler look at?",
					"Which part of the engine says who runs next?",
					"I'd like to know the role of the scheduler.",
				],
			},
		},
	},
	"token-budget": {
		names: [
			"the token budget",
			"a token budget",
			"maxNumBatchedTokens",
			"the step token budget",
		],
		facts: {
			what: {
				answer:
					"The token budget is the largest number of tokens that one step may process over all requests. Running decodes take one token each, and prefill chunks share what is left.",
				ask: [
					"How many tokens can a step process?",
					"What does maxNumBatchedTokens limit?",
					"How is the token budget divided?",
					"What limits the number of tokens in a step?",
					"What is the largest number of tokens per step?",
					"Is there a ceiling on tokens for a single step?",
					"I saw the setting maxNumBatchedTokens, what is it about?",
				],
			},
			tuning: {
				answer:
					"A large token budget gives faster prefill and more throughput, while a small one keeps the steps short and the stream of tokens smooth. A few thousand tokens is a usual choice on a GPU.",
				ask: [
					"How large should the token budget be?",
					"What is a good value for maxNumBatchedTokens?",
					"Should I raise the token budget?",
					"What happens with a small token budget?",
					"What is the trade-off of the token budget?",
					"Recommend me a token budget, and why that one.",
					"Which downsides come with setting the token budget too high or too low?",
				],
				subjects: ["a good token budget", "tuning of maxNumBatchedTokens"],
			},
		},
	},
	"max-num-seqs": {
		names: [
			"maxNumSeqs",
			"the maximum number of sequences",
			"max num seqs",
			"the limit of running sequences",
		],
		facts: {
			what: {
				answer:
					"maxNumSeqs is the largest number of sequences that may run in one step. A higher value allows larger batches but needs more KV cache and work space.",
				ask: [
					"How many requests can run at once?",
					"What does maxNumSeqs set?",
					"How do I limit the number of running requests?",
					"What is the largest number of concurrent sequences?",
					"Which setting limits concurrency?",
					"Where do I cap the concurrent requests?",
					"maxNumSeqs is in my config, what is it good for?",
				],
			},
		},
	},
	prefill: {
		names: ["prefill", "the prefill phase", "prompt processing", "prefilling"],
		facts: {
			what: {
				answer:
					"Prefill is the phase that runs all prompt tokens through the model and fills the KV cache with them. It ends with the first new token.",
				ask: [
					"What happens during prefill?",
					"What does the engine do with the prompt first?",
					"What is the first phase of a request?",
					"How is a prompt processed?",
					"Which phase reads the prompt?",
					"What takes place before the first token comes out?",
					"Name and describe the stage that digests my prompt.",
				],
			},
			bound: {
				answer:
					"Prefill is limited by compute, because many tokens share each weight that is read. Fast matrix products matter most here.",
				ask: [
					"Is prefill limited by compute or memory?",
					"Why is prefill compute bound?",
					"What limits the speed of prefill?",
					"How can prefill be made faster?",
					"Which hardware number matters for prefill?",
					"Where is the bottleneck while a long prompt is being read?",
					"More FLOPs or more bandwidth, what speeds up prefill?",
				],
				subjects: ["the bottleneck of prefill"],
			},
		},
	},
	decode: {
		names: ["decode", "the decode phase", "decoding", "token generation"],
		facts: {
			what: {
				answer:
					"Decode is the phase that makes one new token per request and step. Each new token is fed back as the input of the next step until the request stops.",
				ask: [
					"What happens during decode?",
					"What is the second phase of a request?",
					"How are new tokens generated?",
					"How many tokens does a decode step make?",
					"What does the model do after the prompt?",
					"After the prompt is digested, what comes next?",
					"Describe the loop in which the model writes its answer.",
				],
			},
			bound: {
				answer:
					"Decode is limited by memory bandwidth, because all weights and the KV cache are read for just a few tokens. Larger batches and smaller weights help.",
				ask: [
					"Is decode limited by compute or memory?",
					"Why is decode memory bound?",
					"What limits the speed of decode?",
					"Why is generating tokens so slow?",
					"Which hardware number matters for decode?",
					"What holds back the speed of writing tokens one at a time?",
					"Is bandwidth or arithmetic the bottleneck when tokens are written?",
				],
				subjects: ["the bottleneck of decode"],
			},
		},
	},
	"prefill-decode": {
		names: [
			"prefill versus decode",
			"prefill and decode",
			"the two phases of a request",
		],
		facts: {
			what: {
				answer:
					"Prefill reads many prompt tokens at once and is limited by compute, while decode makes one token at a time and is limited by memory bandwidth. An engine needs good kernels for both.",
				ask: [
					"What is the difference between prefill and decode?",
					"How do prefill and decode differ?",
					"Prefill vs decode?",
					"Compare prefill with decode.",
					"What are the two phases of inference?",
					"Contrast the prompt stage with the generation stage.",
					"In which ways is decode unlike prefill?",
				],
			},
		},
	},
	"chunked-prefill": {
		names: [
			"chunked prefill",
			"prefill chunks",
			"splitting the prefill",
			"prefill in chunks",
		],
		facts: {
			what: {
				answer:
					"Chunked prefill cuts a long prompt into pieces and processes one piece per step. The other requests keep making tokens in the same steps.",
				ask: [
					"What does chunked prefill do?",
					"How is a very long prompt processed?",
					"Can a prompt be split over several steps?",
					"What is a prefill chunk?",
					"Can prefill and decode share a step?",
					"My prompt is bigger than the token budget, how does the engine cope?",
					"Give me the gist of chunked prefill.",
				],
			},
			why: {
				answer:
					"Without chunked prefill one long prompt would block all running requests for a whole step. With it the time between tokens stays even and the steps stay full.",
				ask: [
					"Why do engines split long prompts?",
					"What problem does chunked prefill solve?",
					"Does chunked prefill lower latency?",
					"What happens without chunked prefill?",
					"Why should a long prompt not run in one step?",
					"Everyone stalls when a giant prompt arrives, how is that cured?",
					"Argue in favour of chunked prefill.",
				],
			},
		},
	},
	queues: {
		names: [
			"the waiting queue",
			"the waiting and running queues",
			"the request queue",
		],
		facts: {
			what: {
				answer:
					"New and preempted requests stand in the waiting queue until there are free blocks and room in the budget. Then they move to the running list and stay there until they finish.",
				ask: [
					"Where do new requests wait?",
					"What is the difference between waiting and running requests?",
					"What happens to a request before it runs?",
					"When does a waiting request start?",
					"Which states can a request have?",
					"My request was accepted but does not run yet, where is it?",
					"What must happen before a queued request is started?",
				],
			},
		},
	},
	fairness: {
		names: [
			"first come, first served",
			"FCFS",
			"fairness between requests",
			"the order of requests",
		],
		facts: {
			what: {
				answer:
					"First come, first served means that requests start in the order of their arrival. It is simple, fair and keeps anyone from waiting forever.",
				ask: [
					"In which order are requests served?",
					"Is the scheduler fair?",
					"Can a request starve?",
					"Who is served first?",
					"Which policy does the scheduler follow?",
					"Could some unlucky request wait forever?",
					"What ordering do requests get when they arrive together?",
				],
			},
		},
	},
	sequence: {
		names: ["a sequence", "a sequence in the engine", "the sequence object"],
		facts: {
			what: {
				answer:
					"A sequence is one stream of tokens in the engine: the prompt, the tokens made so far, its state and its block table. A request with several samples has several sequences.",
				ask: [
					"What is stored in a sequence?",
					"What is the difference between a request and a sequence?",
					"What does the engine know about each sequence?",
					"What does sequence mean in an inference engine?",
					"How many sequences does a request have?",
					"How is a sequence not the same thing as a request?",
					"What information does an engine carry for each stream of tokens?",
				],
			},
		},
	},
	step: {
		names: ["an engine step", "a step of the engine", "one step"],
		facts: {
			what: {
				answer:
					"An engine step schedules requests, runs the model once on their tokens, samples new tokens and updates the requests. The engine repeats steps until no request is left.",
				ask: [
					"What happens in one engine step?",
					"What is the main loop of the engine?",
					"Which parts does a step have?",
					"What does the engine do in each iteration?",
					"Walk me through a step.",
					"Describe one turn of the engine's loop.",
					"From scheduling to tokens, what does a single iteration contain?",
				],
			},
		},
	},
	"async-scheduling": {
		names: [
			"asynchronous scheduling",
			"async scheduling",
			"overlapped scheduling",
			"overlapping of steps",
		],
		facts: {
			what: {
				answer:
					"Asynchronous scheduling prepares the next step on the CPU while the device still runs the current one. Sampled tokens stay on the device, so the device never waits for the CPU.",
				ask: [
					"How can scheduling overlap with the model?",
					"What does async scheduling do?",
					"How does the engine hide CPU time?",
					"Why does the device not wait for the CPU?",
					"Can the next step be planned before the current one ends?",
					"How do you keep the GPU from idling between two steps?",
					"What is the trick of planning ahead while the device is busy?",
				],
			},
		},
	},
	"finish-reason": {
		names: ["the finish reason", "finish reasons", "finishReason"],
		facts: {
			what: {
				answer:
					"The finish reason tells why a request ended: stop for an end token or stop string, length for a token limit, abort for a cancelled request.",
				ask: [
					"Why did my request end?",
					"What does the finish reason length mean?",
					"Which finish reasons exist?",
					"How do I know that an answer was cut off?",
					"What does finishReason stop mean?",
					"The result carries finishReason, how do I read it?",
					"Was my answer truncated or complete, where can I see that?",
				],
			},
		},
	},
	abort: {
		names: [
			"aborting a request",
			"cancelling a request",
			"request cancellation",
		],
		facts: {
			what: {
				answer:
					"A request is cancelled with an abort signal. The engine drops it before the next step and frees its KV blocks at once.",
				ask: [
					"How do I cancel a request?",
					"Can I stop a running request?",
					"What happens when the client disconnects?",
					"What does aborting a request free?",
					"Can a request be aborted halfway?",
					"I changed my mind midway, how do I call the generation off?",
					"The user closed the tab, what becomes of the request?",
				],
			},
		},
	},
};
