/** Facts about weight files, number formats and quantization. */
import type { Topic } from "./topic.ts";

export const numberTopics: Record<string, Topic> = {
	safetensors: {
		names: ["safetensors", "a safetensors file", "the safetensors format"],
		facts: {
			what: {
				answer:
					"A safetensors file is a JSON header with names, dtypes, shapes and offsets, followed by the raw numbers. It can be read in place and contains no code.",
				ask: [
					"What is in a safetensors file?",
					"What does the header of safetensors contain?",
					"How is a safetensors file built?",
					"How are weights stored on Hugging Face?",
					"Which format holds the weights of this model?",
					"How could I parse model.safetensors by hand?",
					"Which parts make up the file model.safetensors?",
				],
			},
			safe: {
				answer:
					"Safetensors are called safe because loading them never runs code. The older pickle files of PyTorch can execute anything when opened.",
				ask: [
					"Why are safetensors safe?",
					"What is wrong with pickle files?",
					"Can a weight file run code?",
					"Why not load old PyTorch checkpoints?",
					"Is it dangerous to open a model file?",
					"Could a downloaded checkpoint hack my computer?",
					"Where does the word safe in safetensors come from?",
				],
				subjects: ["the safety of safetensors", "pickle versus safetensors"],
			},
		},
	},
	shards: {
		names: [
			"weight shards",
			"sharded weights",
			"the safetensors index",
			"model.safetensors.index.json",
		],
		facts: {
			what: {
				answer:
					"Large models are split into several safetensors files. An index file in JSON says which tensor lies in which of them.",
				ask: [
					"Why does a model have several weight files?",
					"What is model.safetensors.index.json?",
					"How does the loader know where a tensor is?",
					"What is a weight shard?",
					"How are large models split into files?",
					"I see files named 00001-of-00004, what does it mean?",
					"Tensors are scattered over many files, how are they found?",
				],
			},
		},
	},
	gguf: {
		names: ["GGUF", "a GGUF file", "the GGUF format"],
		facts: {
			what: {
				answer:
					"GGUF is the single-file format of llama.cpp. It holds the settings, the tokenizer and the weights, which are mostly quantized in blocks.",
				ask: [
					"What is in a GGUF file?",
					"Which format does llama.cpp use?",
					"What is GGUF for?",
					"How does GGUF differ from safetensors?",
					"Does a GGUF file contain the tokenizer?",
					"A friend sent me a .gguf, what could be in it?",
					"Everything of a model in just one file: which format offers that?",
				],
			},
		},
	},
	"config-json": {
		names: ["config.json", "the model config", "the file config.json"],
		facts: {
			what: {
				answer:
					"config.json describes the architecture of a model: its type, number of layers, hidden size, heads and more. The engine builds the model from it before it reads any weights.",
				ask: [
					"What is in config.json?",
					"How does the engine know the architecture?",
					"Where is the number of layers written?",
					"Which file describes the shape of a model?",
					"What does the engine read first?",
					"Heads, layers, widths: where does the loader find them?",
					"I deleted config.json, what is lost?",
				],
			},
		},
	},
	"generation-config": {
		names: [
			"generation_config.json",
			"the generation config",
			"default sampling settings",
		],
		facts: {
			what: {
				answer:
					"generation_config.json holds a model's end tokens and its recommended sampling settings. Settings of a request override them.",
				ask: [
					"What is in generation_config.json?",
					"Where are the default sampling settings?",
					"Which file lists the end tokens?",
					"Where does the default temperature come from?",
					"What does the generation config do?",
					"I gave no temperature, so which value is taken?",
					"Which file carries the author's suggested settings for sampling?",
				],
			},
		},
	},
	"dummy-weights": {
		names: ["dummy weights", "the dummy load format", "random weights"],
		facts: {
			what: {
				answer:
					"Dummy weights are random numbers in the right shapes, made from config.json alone. They let you measure the speed of a model without downloading it.",
				ask: [
					"What are dummy weights?",
					"How can I measure speed without the weights?",
					"What does loadFormat dummy do?",
					"Can I benchmark a model without downloading it?",
					"Why would I load random weights?",
					"Testing performance with no download at all, how?",
					"Is there a way to fake a checkpoint?",
				],
			},
		},
	},
	mmap: {
		names: ["memory mapping", "mmap", "memory-mapped weights"],
		facts: {
			what: {
				answer:
					"Memory mapping lets a program read a file as if it were memory, and the system loads pages when they are touched. Large weights then need no copy in the program.",
				ask: [
					"What does mmap do?",
					"How can weights be loaded without a copy?",
					"What is memory mapping good for?",
					"Why is loading with mmap fast?",
					"When are mapped pages loaded?",
					"The file is opened instantly though it has gigabytes, how?",
					"Reading a checkpoint without buffering all of it: which technique?",
				],
			},
		},
	},
	bf16: {
		names: ["bf16", "bfloat16", "the bf16 format"],
		facts: {
			what: {
				answer:
					"bf16, or bfloat16, is a 16-bit float with the 8 exponent bits of f32 but only 7 bits of mantissa. It covers the same range as f32 with less precision.",
				ask: [
					"What is bf16?",
					"How many bits does bfloat16 have?",
					"How is bf16 related to f32?",
					"Which range does bf16 cover?",
					"Why are models trained in bf16?",
					"Of the sixteen bits in bfloat16, how many are exponent?",
					"Tell a newcomer about bf16.",
				],
			},
			"versus-f16": {
				answer:
					"bf16 has a wide range and little precision, f16 has more precision but overflows above 65504. Weights in bf16 can be widened to f32 by a shift of 16 bits.",
				ask: [
					"What is the difference between bf16 and f16?",
					"bf16 vs fp16?",
					"Which is better, f16 or bf16?",
					"How do I convert bf16 to f32?",
					"How do bf16 and half precision differ?",
					"Two kinds of 16-bit floats exist, contrast them.",
					"Should I prefer fp16 to bf16, and what are the differences?",
				],
				subjects: [
					"bf16 versus f16",
					"the difference between bfloat16 and float16",
				],
			},
		},
	},
	f16: {
		names: ["f16", "fp16", "half precision", "float16"],
		facts: {
			what: {
				answer:
					"f16 is a 16-bit float with 5 exponent bits and 10 bits of mantissa. Its largest number is 65504, and many GPUs compute with it at full speed.",
				ask: [
					"What is f16?",
					"How many bits of mantissa has f16?",
					"What is the largest f16 number?",
					"What is half precision?",
					"Can f16 overflow?",
					"Beyond which value does fp16 become infinite?",
					"Tell a newcomer about float16.",
				],
			},
		},
	},
	fp8: {
		names: ["fp8", "8-bit floats", "the fp8 formats"],
		facts: {
			what: {
				answer:
					"fp8 stores a float in 8 bits, as e4m3 for precision or as e5m2 for range. New GPUs multiply fp8 matrices at twice the speed of 16 bits.",
				ask: [
					"What is fp8?",
					"What do e4m3 and e5m2 mean?",
					"Which 8-bit float formats exist?",
					"How fast is fp8?",
					"How is a float stored in 8 bits?",
					"e4m3: decode this name for me.",
					"Can a floating-point number fit in a single byte?",
				],
			},
		},
	},
	accumulate: {
		names: [
			"f32 accumulation",
			"accumulating in f32",
			"the accumulator precision",
		],
		facts: {
			what: {
				answer:
					"Long sums are accumulated in f32 even if the inputs have 16 bits. Otherwise rounding errors would add up over thousands of terms.",
				ask: [
					"Why is f32 used for sums?",
					"Why accumulate in higher precision?",
					"What happens if I accumulate in f16?",
					"Which precision do kernels use inside?",
					"How do kernels avoid rounding errors?",
					"Inputs are half precision, so why is the running total wider?",
					"Adding thousands of tiny products, how do we stay accurate?",
				],
			},
		},
	},
	quantization: {
		names: [
			"quantization",
			"quantizing a model",
			"a quantized model",
			"weight quantization",
		],
		facts: {
			what: {
				answer:
					"Quantization stores weights as small integers with a scale per block. The model gets smaller and faster, at the price of small rounding errors.",
				ask: [
					"What does quantization do?",
					"How can a model be made smaller?",
					"What does it mean to quantize weights?",
					"How are weights stored as integers?",
					"What is a quantized model?",
					"Squeezing a checkpoint into fewer bits, what is the term and the idea?",
					"In what form does a quantized model hold its numbers?",
				],
			},
			why: {
				answer:
					"Quantization speeds up decode because fewer bytes of weights are read per token. It also lets larger models fit into the same memory.",
				ask: [
					"Why do people quantize models?",
					"Why is a quantized model faster?",
					"Does quantization speed up decode?",
					"Is quantization worth it?",
					"What do I gain from 4-bit weights?",
					"What is in it for me if I quantize?",
					"Why would fewer bits per weight generate text quicker?",
				],
			},
			quality: {
				answer:
					"Eight bits cost almost no quality, four bits a little, and fewer bits clearly more. Measure it with perplexity or your own tasks.",
				ask: [
					"How much quality does quantization cost?",
					"Does quantization make a model worse?",
					"How many bits are enough?",
					"Is 4-bit quantization good enough?",
					"Which bit width should I choose?",
					"Will my answers suffer when the weights are rounded?",
					"Eight bits or four, how far can I go without harm?",
				],
				subjects: [
					"the quality loss of quantization",
					"the cost of quantization",
					"the accuracy of quantized models",
				],
			},
			"weight-only": {
				answer:
					"Weight-only quantization keeps activations in floating point and quantizes just the weights. It suits decode, where reading the weights is the bottleneck.",
				ask: [
					"What is weight-only quantization?",
					"Are activations quantized too?",
					"Why are only the weights quantized?",
					"What stays in floating point in a quantized model?",
					"When is weight-only quantization a good fit?",
					"If just the weights are integers, what about everything else?",
					"Do the intermediate values of the network get rounded as well?",
				],
				subjects: ["weight-only quantization", "quantizing just the weights"],
			},
		},
	},
	q8_0: {
		names: ["q8_0", "the q8_0 format", "Q8_0"],
		facts: {
			what: {
				answer:
					"q8_0 stores 32 weights as 8-bit integers with one f16 scale, which makes 8.5 bits per weight. A weight is its integer times the scale.",
				ask: [
					"What is q8_0?",
					"How many bits per weight does q8_0 need?",
					"How is a q8_0 block laid out?",
					"How do I dequantize q8_0?",
					"What is stored in a q8_0 block?",
					"Detail the layout of Q8_0 for me.",
					"Thirty-two bytes and a scale: which format, and what does it cost per weight?",
				],
			},
		},
	},
	q4_0: {
		names: ["q4_0", "the q4_0 format", "Q4_0"],
		facts: {
			what: {
				answer:
					"q4_0 stores 32 weights as 4-bit numbers with one f16 scale, which makes 4.5 bits per weight. A weight is the number minus 8, times the scale.",
				ask: [
					"What is q4_0?",
					"How many bits per weight does q4_0 need?",
					"How is a q4_0 block laid out?",
					"How do I dequantize q4_0?",
					"Why is 8 subtracted in q4_0?",
					"Detail the layout of Q4_0 for me.",
					"Sixteen bytes of nibbles and a scale: which format is it?",
				],
			},
		},
	},
	scale: {
		names: ["a quantization scale", "the scale of a block", "block scales"],
		facts: {
			what: {
				answer:
					"The scale of a block is the number that turns its small integers back into weights. It is chosen so that the largest weight of the block just fits.",
				ask: [
					"What is the scale in quantization?",
					"How is the scale of a block chosen?",
					"Why does each block have its own scale?",
					"How do integers become weights again?",
					"Which number belongs to each quantized block?",
					"What multiplier brings quantized integers back to real weights?",
					"On what basis is a block's scale determined?",
				],
			},
		},
	},
	perplexity: {
		names: ["perplexity", "the perplexity of a model"],
		facts: {
			what: {
				answer:
					"Perplexity is the exponential of the mean negative log probability that a model gives to the tokens of a text. Lower is better, and 1 would be perfect.",
				ask: [
					"What is perplexity?",
					"How is perplexity computed?",
					"Is a low perplexity good?",
					"How do I measure how well a model knows a text?",
					"What does a perplexity of 1 mean?",
					"What metric says how surprised a model is by a text?",
					"Perplexity went from 9 to 12, is this an improvement?",
				],
			},
		},
	},
	activations: {
		names: ["activations", "an activation", "activation tensors"],
		facts: {
			what: {
				answer:
					"Activations are the intermediate results that flow through the model during a step. They need little memory in inference, because each layer can reuse the same buffers.",
				ask: [
					"What are activations?",
					"How much memory do activations need?",
					"What is the difference between weights and activations?",
					"Which numbers flow through a model?",
					"Can layers share their buffers?",
					"Weights stay put, but what are the numbers that move through the layers?",
					"Must every layer get its own scratch memory?",
				],
			},
		},
	},
	dequantize: {
		names: [
			"dequantization",
			"on-the-fly dequantization",
			"dequantizing in the kernel",
		],
		facts: {
			what: {
				answer:
					"Kernels dequantize weights in registers just before they multiply. So only the small format travels from memory, and no full copy is ever stored.",
				ask: [
					"When are quantized weights turned back into floats?",
					"Where does dequantization happen?",
					"Is there a full-precision copy of quantized weights?",
					"How do kernels use quantized weights?",
					"Does dequantization need extra memory?",
					"At which moment do the tiny integers become floats again?",
					"Do you unpack a whole quantized matrix in advance?",
				],
			},
		},
	},
};
