/** Facts about serving: latency, throughput, interfaces, and about this project itself. */
import type { Topic } from "./topic.ts";

export const servingTopics: Record<string, Topic> = {
	ttft: {
		names: ["TTFT", "time to first token", "the time to the first token"],
		facts: {
			what: {
				answer:
					"TTFT, the time to first token, runs from sending a request to the first token of its answer. It consists of waiting in the queue and the prefill of the prompt.",
				ask: [
					"What is TTFT?",
					"What does TTFT stand for?",
					"How long until the first token appears?",
					"What makes up the time to first token?",
					"Which number tells how soon an answer starts?",
					"What do we call the delay before an answer begins?",
					"The metrics page lists TTFT, what does it measure?",
				],
			},
			lower: {
				answer:
					"To lower the time to first token, share prefixes, shorten prompts, and keep the queue short. Chunked prefill helps when other long prompts are in the way.",
				ask: [
					"How do I lower TTFT?",
					"How can the first token come sooner?",
					"My first token takes too long, what can I do?",
					"How do I improve the time to first token?",
					"What helps against a long wait at the start?",
					"Users complain about a pause before anything shows up, any remedies?",
					"Tips for bringing TTFT down?",
				],
				subjects: ["a lower TTFT", "reducing the time to first token"],
			},
		},
	},
	tpot: {
		names: ["TPOT", "time per output token", "inter-token latency", "ITL"],
		facts: {
			what: {
				answer:
					"Time per output token is the mean time between two tokens of an answer. At 20 milliseconds a reader gets 50 tokens per second.",
				ask: [
					"What is TPOT?",
					"What does inter-token latency mean?",
					"How long is the time between two tokens?",
					"How do I measure the speed of one stream?",
					"How many tokens per second are 20 ms per token?",
					"What figure describes the gap from one token to the next?",
					"Tokens drip out every 20 ms, which metric is this?",
				],
			},
		},
	},
	throughput: {
		names: ["throughput", "output tokens per second", "engine throughput"],
		facts: {
			what: {
				answer:
					"Throughput is the number of tokens an engine makes per second over all requests. It decides what a token costs.",
				ask: [
					"What is throughput?",
					"How is the speed of an engine measured?",
					"What does tokens per second mean?",
					"Which number decides the cost of a token?",
					"How many tokens does an engine make per second?",
					"Summed over every user, how do we express an engine's speed?",
					"Which measure tells me the price of serving?",
				],
			},
			"versus-latency": {
				answer:
					"Throughput counts tokens over all requests, latency is what one user waits. Larger batches raise throughput but make each request a bit slower.",
				ask: [
					"What is the difference between throughput and latency?",
					"Throughput vs latency?",
					"Why can't I have the best latency and the best throughput?",
					"How do batches trade latency for throughput?",
					"Should I optimize for latency or throughput?",
					"Many users happy or one user happy: describe that tension.",
					"Contrast latency with throughput.",
				],
				subjects: [
					"throughput versus latency",
					"the trade-off between latency and throughput",
				],
			},
		},
	},
	latency: {
		names: ["latency", "the latency of a request", "end-to-end latency"],
		facts: {
			what: {
				answer:
					"The latency of a request is its time to first token plus the time per token for all further tokens. Long answers are dominated by the second part.",
				ask: [
					"What is latency?",
					"How long does a whole request take?",
					"How is the latency of a request computed?",
					"What makes up the total time of a request?",
					"Why do long answers take long?",
					"From sending to the last token, how is the duration made up?",
					"Break down the total waiting time of one user.",
				],
			},
			tail: {
				answer:
					"Tail latency is the latency of the slowest requests, such as the 99th percentile. Users notice it more than the mean.",
				ask: [
					"What is tail latency?",
					"What does p99 mean?",
					"Why look at the 99th percentile?",
					"Is the mean latency enough?",
					"How slow are the slowest requests?",
					"My average is fine but some users suffer, which statistic shows it?",
					"Explain the p99 figure on a dashboard.",
				],
				subjects: ["tail latency", "p99 latency", "the 99th percentile"],
			},
		},
	},
	"openai-api": {
		names: [
			"the OpenAI-compatible server",
			"the OpenAI API",
			"the HTTP server",
			"nano-vllm serve",
		],
		facts: {
			what: {
				answer:
					"The server speaks the OpenAI protocol, so existing clients work when you change the base URL. Chat and plain completions can be streamed.",
				ask: [
					"Can I use OpenAI clients with this engine?",
					"Which protocol does the server speak?",
					"How do I talk to the server?",
					"What does OpenAI-compatible mean?",
					"How do I connect my app to the engine?",
					"My code uses the openai package, must I rewrite it?",
					"Which HTTP interface is offered?",
				],
			},
		},
	},
	sse: {
		names: ["server-sent events", "SSE", "the event stream"],
		facts: {
			what: {
				answer:
					"Server-sent events are a simple way to stream text over HTTP: each piece is a line that starts with data. An LLM server sends one event per piece of the answer.",
				ask: [
					"What are server-sent events?",
					"How does the server stream over HTTP?",
					"What is SSE?",
					"What does the stream of a server look like?",
					"Why do lines start with data?",
					"In the raw HTTP stream I see data: prefixes, what is this?",
					"How are streamed pieces carried over the wire?",
				],
			},
		},
	},
	"batch-api": {
		names: [
			"offline inference",
			"the offline API",
			"llm.generate",
			"offline batches",
		],
		facts: {
			what: {
				answer:
					"Offline inference hands all prompts to the engine at once and waits for all answers. The engine batches them itself, and results come back in the order of the prompts.",
				ask: [
					"How do I run many prompts at once?",
					"What does llm.generate do?",
					"What is offline inference?",
					"In which order do results come back?",
					"Do I have to batch prompts myself?",
					"I have a thousand prompts in a file, what is the best call?",
					"Are answers sorted like my inputs?",
				],
			},
		},
	},
	metrics: {
		names: ["metrics", "engine metrics", "the metrics endpoint"],
		facts: {
			what: {
				answer:
					"Metrics show how an engine is doing: running and waiting requests, cache use, tokens per second and latencies. Prometheus can collect them from the server.",
				ask: [
					"How do I monitor the engine?",
					"Which metrics does an engine have?",
					"What can I see on the metrics page?",
					"How do I know how busy the server is?",
					"What is Prometheus for?",
					"How could I keep an eye on a running server?",
					"Which gauges should I put on a dashboard?",
				],
			},
		},
	},
	warmup: {
		names: ["warm-up", "warming up the engine", "a warm-up run"],
		facts: {
			what: {
				answer:
					"The first steps are slower, because shaders are compiled, memory is touched and clocks rise. Benchmarks therefore warm up before they measure.",
				ask: [
					"Why is the first request slow?",
					"Why do benchmarks warm up?",
					"What is a warm-up run?",
					"What happens in the first steps of an engine?",
					"Should I warm up before I measure?",
					"The second run is always quicker than the first, why?",
					"Before timing anything, what should I do?",
				],
			},
		},
	},
	benchmark: {
		names: ["a fair benchmark", "benchmarking an engine", "benchmarks"],
		facts: {
			what: {
				answer:
					"A fair benchmark fixes the model, the prompts, the lengths and the device, warms up and reports several runs. It compares engines on the same machine.",
				ask: [
					"How do I benchmark an engine?",
					"What makes a benchmark fair?",
					"How do I compare two engines?",
					"What should a benchmark keep fixed?",
					"How do I measure the speed of an engine?",
					"I want to pit two engines against each other honestly, what are the rules?",
					"When can I trust a speed measurement?",
				],
			},
		},
	},
	vllm: {
		names: ["vLLM", "the vLLM project"],
		facts: {
			what: {
				answer:
					"vLLM is an open-source inference engine in Python that made paged attention popular. Many servers run it on GPUs with CUDA.",
				ask: [
					"What is vLLM?",
					"Which project made paged attention popular?",
					"Where does paged attention come from?",
					"In which language is vLLM written?",
					"What is vLLM known for?",
					"Who invented or spread the paging idea for LLMs?",
					"I stumbled over the name vLLM, who are they?",
				],
			},
		},
	},
	"nano-vllm": {
		names: [
			"nano-vLLM",
			"this project",
			"nano-vLLM for TypeScript",
			"this engine",
		],
		facts: {
			what: {
				answer:
					"nano-vLLM for TypeScript is a small, readable inference engine for Node and browsers. It has continuous batching, a paged KV cache, prefix caching and backends for WebGPU and CPU.",
				ask: [
					"What is nano-vLLM?",
					"What is this project?",
					"What can this engine do?",
					"Which features does this engine have?",
					"Where does this engine run?",
					"In two lines, what have I just installed here?",
					"Pitch this repository to me.",
				],
			},
			program: {
				answer:
					"In this engine a model is a short program: a list of operations over symbolic sizes. A backend compiles it once and replays it in every step.",
				ask: [
					"How does this engine describe a model?",
					"What is a program in this engine?",
					"What does a backend compile?",
					"How is a model written in this engine?",
					"What does it mean that a model is a short program?",
					"Internally, what form does a model take here?",
					"Which thing is compiled a single time by the backend?",
				],
				subjects: ["the program of a model", "the op list of this engine"],
			},
			devices: {
				answer:
					"This engine has three backends: webgpu for graphics cards, cpu with WASM SIMD, and reference for tests. The device option auto picks the best one available.",
				ask: [
					"Which backends does this engine have?",
					"Which devices are supported?",
					"How do I choose the device?",
					"What does device auto do?",
					"Can I run this engine without a GPU?",
					"On what hardware could I start this?",
					"List the options I have for the device setting.",
				],
				subjects: [
					"the backends of this engine",
					"the device option",
					"supported devices",
				],
			},
		},
	},
	"llama-cpp": {
		names: ["llama.cpp", "the llama.cpp project"],
		facts: {
			what: {
				answer:
					"llama.cpp is an inference engine in C and C++ that runs quantized models well on CPUs and small GPUs. The GGUF format comes from it.",
				ask: [
					"What is llama.cpp?",
					"Which engine invented GGUF?",
					"In which language is llama.cpp written?",
					"What is llama.cpp good at?",
					"Which engine is popular for CPUs?",
					"Which C++ project do people use on laptops?",
					"Could you say a few words on llama.cpp?",
				],
			},
		},
	},
	qwen3: {
		names: ["Qwen3", "the Qwen3 family", "Qwen3 models"],
		facts: {
			what: {
				answer:
					"Qwen3 is a family of open models with grouped-query attention, QK norm, RoPE and SwiGLU. This demo model has the same architecture, only far smaller.",
				ask: [
					"What is Qwen3?",
					"Which architecture does this demo model have?",
					"What are the features of Qwen3?",
					"Is this demo model related to Qwen3?",
					"Which family does the architecture come from?",
					"Which open model is your blueprint?",
					"What ingredients does a Qwen3 network have?",
				],
			},
		},
	},
};
