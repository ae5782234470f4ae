/** A second set of cases over all themes. `fact id: question | question | ...` */

export const MORE_CASES = `
kv-cache/what: I opened the profiler and saw something labelled KV cache, what information does it hold? | Which tensors does a transformer preserve so that old text need not be processed again?
kv-cache/why: Imagine there was no place to save keys and values, what would a token then cost?
kv-cache/size: Give me the equation for how many bytes of keys and values 4096 tokens occupy. | What decides whether my KV cache takes 1 GB or 10 GB?
kv-cache/precision: Would storing the cache as fp8 harm the quality of replies?
paged-attention/what: Please introduce me to paged attention, I come from operating systems. | How are cached tokens arranged in memory if they are not in one row?
paged-attention/why: What would be lost if vLLM had a plain long buffer for each user in place of pages?
kv-block/what: When people talk about blocks of the cache, how many tokens is that?
kv-block/size: We currently run with a block size of 16, is there a reason to change it to 64?
block-table/what: Given token position 37, in which table do I look up its physical block?
slot-mapping/what: During a step, what array tells the GPU into which cache position each token is written?
block-manager/what: Which class in the source code deals with allocating and freeing blocks?
block-manager/law: After each test step you verify something about the blocks, what exactly?
reference-count/what: A prefix block belongs to three chats at the moment, how does the engine avoid freeing it too soon?
copy-on-write/what: Two answers grow from one prompt and then differ, how is their last common block treated?
prefix-cache/what: If I send an identical prompt again, is it faster the second time thanks to some cache?
prefix-cache/why: We have a 2000-token instruction in front of every request, would prefix caching be worthwhile?
prefix-cache/how: How are blocks matched against those of older prompts, by comparing all the tokens?
prefix-cache/eviction: For how much time does the engine hold on to blocks that nobody is using?
prefix-cache/partial: The prompt is only nine tokens long, can it be served from the prefix cache?
fragmentation/what: How do pages keep the cache from having unusable gaps?
preemption/what: During heavy load the last free block was given away, will some requests fail now?
preemption/how: When a victim of preemption is scheduled again, where do its lost keys and values come from?
preemption/who: By which criterion is a request selected to be preempted?
swapping/what: Is it an option to copy blocks over to the host and fetch them back afterwards?
out-of-memory/what: The program dies with an allocation error on my 6 GB graphics card, what would you suggest?
cache-budget/what: I have 24 GB of GPU memory, which portion of it will be used for KV blocks?
context-length/what: What is the longest input I may send to this model? | Explain what maxModelLen restricts.
context-length/long: Why does a 30000-token conversation generate less quickly than a brief one?
continuous-batching/what: Suppose 8 requests are running and a ninth arrives, when will it be started? | I came across the phrase iteration-level scheduling of batches, explain it.
continuous-batching/why: How does continuous batching improve the use of the hardware?
static-batching/what: Why is it inefficient to keep the members of a batch until the longest has ended?
batching/what: Is it cheaper per user to run twenty prompts in one step, and for what reason?
batching/limit: Throughput no longer rises although I send more and more requests, is this expected?
ragged-batch/what: One prompt has 7 tokens and another 900, how do they fit in the same batch without padding?
scheduler/what: Among a hundred pending requests, what component selects those for the next step?
token-budget/what: Does the engine restrict how many tokens are run through the model in one go?
token-budget/tuning: Would you set maxNumBatchedTokens to 2048 or to 16384 on a GPU, and what changes?
max-num-seqs/what: My server should never run more than 32 sequences concurrently, which option is it?
prefill/what: In the trace there is a long block named prefill at the start of each request, what is done there?
prefill/bound: A GPU with more TFLOPs but the same memory speed: will it read prompts faster?
decode/what: In the trace I see many short decode steps one after another, what does each of them do?
decode/bound: My GPU is hardly computing while it produces tokens for one user, why?
prefill-decode/what: Why do engineers always distinguish between prefill and decode? | How does handling the input differ from producing the output?
chunked-prefill/what: A user pasted 50 pages of text, will the engine process them in one step?
chunked-prefill/why: How do you keep other people's streams fluid while somebody submits an enormous prompt?
queues/what: What is the path of a fresh request until its first step, is there a waiting list?
fairness/what: If I send my request before yours, will mine be handled earlier?
sequence/what: In the code there is a class Sequence, what does an instance hold?
step/what: What does the method step() of the engine do, in order?
async-scheduling/what: Can the CPU do its planning at the same time as the GPU is computing?
finish-reason/what: In the JSON response finish_reason is "length", what does that tell me?
abort/what: How can I interrupt an answer that is taking too long?
sampling/what: Once the model has a probability for each token, how is one of them taken?
logits/what: My function returns an array named logits with 4096 numbers, what are they?
softmax/what: How do I convert a list of scores to percentages that total 100?
temperature/what: Is 1.5 a high temperature and what would it do to my text? | For factual answers, should the temperature be lower, and what does it do?
temperature/zero: For my unit tests I need identical outputs on all runs, what should the temperature be?
greedy/what: What is the simplest decoding method, where just the maximum is chosen?
top-k/what: Please explain the topK parameter, I have it at 20.
top-p/what: Please explain the topP parameter, I have it at 0.95.
top-p/versus-top-k: I have to choose either top-k or top-p, what sets them apart?
min-p/what: Please explain the minP parameter, I have it at 0.05.
seed/what: Two people should receive the same sampled story, what must they both set?
presence-penalty/what: I would like the model to move on to other subjects after mentioning one, is there a penalty for this?
frequency-penalty/what: Which penalty becomes stronger each time a word is used again?
repetition-penalty/what: In Hugging Face there is a repetition_penalty of 1.3, how does that act on the logits?
repetition/what: Help, the chatbot writes one line endlessly, what settings should I try?
logprobs/what: Besides the text I want to know how probable each token was, how do I request that?
logprobs/prompt: How could I calculate how probable a given sentence is according to the model?
stop-strings/what: I only want the first line of the answer, can generation be ended at the newline character?
stop-strings/how: The stop text "###" could be cut into different tokens, does the engine still catch it?
stop-token-ids/what: Can generation be ended upon a specific integer from the vocabulary?
max-tokens/what: Every answer has at most 16 tokens, how do I increase that?
min-tokens/what: How do I make sure that the answer has no fewer than 100 tokens?
eos/what: Nobody told the model to stop, so how did it know that its reply was over?
eos/ignore: During benchmarking all outputs must have the same number of tokens, even if the model wants to end, how?
logit-bias/what: How could I slightly increase the chance of one particular token?
bad-words/what: Which parameter makes sure that a competitor's name is never printed?
allowed-tokens/what: I am building a classifier with three label tokens, how do I exclude all the other tokens?
structured-output/what: The reply has to conform to my JSON schema, can the engine enforce it?
beam-search/what: What does it mean to decode with four beams?
parallel-samples/what: For brainstorming I need ten different answers to the same prompt, is that efficient?
gumbel-trick/what: Why would anybody perturb logits with Gumbel noise before the argmax?
llm/what: My grandmother asks what a large language model does, what should I say?
inference/what: What does the word inference mean, and is it a kind of training?
inference-engine/what: Why can't I simply run the weights, what does an inference engine add?
transformer/what: What are the main components of each layer in GPT-like networks?
attention/what: In simple words, what is self-attention doing with previous tokens?
qkv/what: What are q_proj, k_proj and v_proj each responsible for?
causal-mask/what: Why may a decoder model only attend to the left?
attention-heads/what: What does it mean that a model has 32 attention heads?
gqa/what: What is the meaning of grouped-query attention with 16 query heads and 8 KV heads?
gqa/why: In terms of memory and speed, what does GQA achieve?
mqa/what: How is multi-query attention distinct from the grouped variant?
rope/what: In which way does rotary embedding inject the position into attention?
rope/theta: One model has rope_theta 10000 and another 1000000, what is the consequence?
rmsnorm/what: What calculation does RMSNorm carry out on a hidden vector?
rmsnorm/epsilon: Is it important that I copy rms_norm_eps from the config exactly?
qk-norm/what: Among the weights I see q_norm and k_norm, what do these belong to?
mlp/what: What does the feed-forward part do after the attention part?
swiglu/what: How is the output of a SwiGLU block calculated from its gate and up projections?
silu/what: My config has "hidden_act": "silu", which function is meant?
residual/what: Why is x + f(x) used everywhere in a network and not just f(x)?
embedding/what: How is token id 42 changed to a vector at the input of the model?
embedding/tied: I cannot find an output matrix among the tensors, does the model use the input one again?
lm-head/what: At the end of the network, how is the final hidden vector mapped to the vocabulary?
hidden-size/what: One model has width 1024 and another 4096, what does this width refer to?
parameters/what: If a network has 4 billion weights in bf16, what is its size on disk?
moe/what: How does a mixture-of-experts model manage to be huge but still fast?
moe/router: In an MoE layer, how is it determined which experts process a token?
sliding-window/what: Some models restrict a layer to the latest 1024 tokens, what is that and why?
flash-attention/what: How does FlashAttention get around writing a giant score matrix?
online-softmax/what: How can I compute softmax over chunks without seeing all scores first?
lora/what: We want ten customised variants of a model without ten copies, what is the usual technique?
speculative-decoding/what: How can a tiny helper model accelerate a big one?
speculative-decoding/lossless: If I turn on speculative decoding, are the answers still those of the big model?
ngram/what: For summarising documents, can earlier text serve as a draft without an extra model?
token/what: You say token all the time, what is it and how long is one?
tokenizer/what: Before the network sees my sentence, what converts it to integers?
tokenizer/why-not-words: What are the reasons for subword units over complete words or single characters?
bpe/what: How is the vocabulary of a byte pair encoding tokenizer learned from text?
bpe/encode: While encoding, there are several pairs that could be merged, which of them is taken?
byte-level/what: Can every Unicode string be tokenized, for example one with rare emojis?
pre-tokenizer/what: What is the regex in tokenizer.json used for, prior to the BPE merges?
digits/what: Why does the tokenizer turn 365 into three tokens?
vocabulary/what: What are the consequences of having 150 thousand tokens in the vocabulary?
special-tokens/what: Why are there weird markers such as endoftext and where do they come from?
chat-template/what: How are user and assistant messages combined to a single prompt string?
chat-template/generation-prompt: Why must the prompt end with the beginning of an assistant message?
chatml/what: Please show the syntax of a conversation in ChatML.
system-prompt/what: I want the assistant to always be polite, in which message do I say so?
detokenizer/what: How does the engine print partial output correctly when a character consists of many bytes?
streaming/what: Can users begin reading before the whole answer has been generated?
safetensors/what: What is the internal structure of the safetensors format?
safetensors/safe: Is it a security risk to load weights from strangers?
shards/what: The download has four safetensors files plus an index, what is the index for?
gguf/what: What does a file with the ending .gguf hold and which program made it popular?
config-json/what: From which file does the engine learn how many layers there are?
generation-config/what: The model uses temperature 0.6 although I set nothing, where does this come from?
dummy-weights/what: I would like to benchmark an 8B model but have no weights on this machine, is that possible?
mmap/what: How can a 16 GB file be used right away with no reading into a buffer?
bf16/what: What does the dtype bfloat16 look like bit by bit?
bf16/versus-f16: When would I take bfloat16 and when float16? | Which of the two 16-bit formats has more range and which more precision?
f16/what: Why do values above 65504 turn to infinity in half precision?
fp8/what: What formats for 8-bit floating point are there?
accumulate/what: Weights are 16-bit, yet kernels add up in 32-bit, for what reason?
quantization/what: Explain to a beginner how quantization makes weights smaller.
quantization/why: How does a 4-bit model manage to produce tokens more quickly?
quantization/quality: Do 8-bit models give worse answers than the original ones? | What accuracy do I sacrifice with q4?
quantization/weight-only: When a model is "weight-only quantized", in which format are the activations?
q8_0/what: What is the size of a q8_0 block of 32 weights and how is it decoded?
q4_0/what: What is the size of a q4_0 block of 32 weights and how is it decoded?
scale/what: In block quantization there is an additional f16 number per block, what is its purpose?
perplexity/what: How would I express in one number how well a model predicts a document?
activations/what: Apart from weights and cache, what other tensors exist while a step is running?
dequantize/what: Does the GPU expand 4-bit weights to floats in memory before a product?
roofline/what: How do I find the theoretical maximum speed of my kernel?
arithmetic-intensity/what: How many operations per byte does my kernel do, and why should I care?
bandwidth/what: With 1 GB of weights and 100 GB/s, how many tokens per second could one user get?
gemm/what: Which mathematical operation takes most of the time in prefill?
gemv/what: Which mathematical operation takes most of the time in decode for a single user?
kernel/what: In GPU programming, what do people mean by the word kernel?
fusion/what: What is achieved by combining RMSNorm and a linear layer to one kernel?
split-k/what: My matrix product has a tiny output but a very long inner dimension, how do I use the whole GPU?
webgpu/what: What technology allows a website to run compute on the GPU? | Is WebGPU available outside of browsers?
webgpu/why: For what reasons did you pick WebGPU over CUDA?
wgsl/what: What language do I have to learn to read the GPU kernels in this project?
workgroup/what: How do workgroups relate to threads on a GPU?
workgroup/memory: Which memory is used by threads of the same workgroup to share tiles?
subgroup/what: What are subgroups in WGSL and how large are they?
subgroup/matrix: Is there a way to use an NVIDIA card's tensor cores through WebGPU?
dispatch/what: How expensive is it to launch a single kernel, and does it add up?
pipeline/what: Why does the engine create all compute pipelines before the first request?
bind-group/what: In WebGPU code I see createBindGroup, what does a bind group do?
replay/what: Is there something comparable to CUDA graphs in this engine?
wasm/what: What is WebAssembly and how does this engine make use of it?
wasm/simd: How do 128-bit instructions make the CPU backend faster?
wasm/threads: Does the CPU backend run on more than one core, and how?
isolation/what: My page says that SharedArrayBuffer is not defined, how do I solve it?
reference/what: For what purpose is there a slow backend called reference?
tensor-parallel/what: How can two GPUs calculate the same layer together?
pipeline-parallel/what: How does it work when each GPU holds a different range of layers?
ttft/what: Please define the metric time to first token.
ttft/lower: It takes three seconds until my users see the first word, how can I improve that?
tpot/what: What is meant by inter-token latency, and which value is good for readers?
throughput/what: When a report says 15000 tokens per second, what does it count?
throughput/versus-latency: Why is it that raising throughput usually makes each single user wait longer?
latency/what: From which two parts can I calculate the total response time?
latency/tail: What does a p99 of two seconds mean?
openai-api/what: Can I point the official OpenAI SDK at this server?
sse/what: With stream: true the HTTP response consists of lines beginning with "data:", what format is that?
batch-api/what: How would I process 500 prompts from a script without a server?
metrics/what: What numbers does the server publish for Prometheus?
warmup/what: Why should I throw away the first measurement when timing the engine?
benchmark/what: How should I compare this engine with another one so that nobody can complain?
vllm/what: Who or what is vLLM?
nano-vllm/what: Give me an overview of what this engine is and what it offers.
nano-vllm/program: How is a model architecture expressed in nano-vLLM?
nano-vllm/devices: Which values may the device option have?
llama-cpp/what: What kind of software is llama.cpp, and what is it mainly used for?
qwen3/what: Tell me which architectural features the Qwen3 models share.
`;
