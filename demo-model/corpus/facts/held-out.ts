/**
 * The examination: questions that training never sees, written last, after all training questions were fixed.
 * A test checks that none of them shares 80 % or more of its content words with any training question of its fact.
 * A line is `fact id: question | question`.
 */

export const HELD_OUT_PHRASINGS = `
kv-cache/what: What does the KV cache consist of? | While chatting with a model, what does the server memorise about my earlier words?
kv-cache/why: Could we drop the KV cache and live with it, or would each token get slow?
kv-cache/size: If I double the layers, does the KV cache need double the bytes as well? | Roughly how heavy is the KV cache for each token?
kv-cache/precision: Are there disadvantages when I shrink the KV cache to 8-bit numbers?
paged-attention/what: Paged attention in two sentences, please. | Do the keys of a conversation have to be next to each other in GPU memory?
paged-attention/why: Which weakness of older engines did paged attention remove?
kv-block/what: How is the KV cache divided up? | What do you call sixteen neighbouring token slots?
kv-block/size: What is your opinion on choosing 128 for blockSize?
block-table/what: What entries are found in a block table, and what do they point to?
slot-mapping/what: What is the formula for a slot in slotMapping?
block-manager/what: What is handled by the block manager and what is not?
block-manager/law: What does checkIntegrity look at?
reference-count/what: Why does each block carry a reference counter?
copy-on-write/what: How does copy on write apply to KV blocks?
prefix-cache/what: How does prefix caching avoid repeated effort? | Thousands of my prompts begin with the same paragraph, can their beginning be computed a single time?
prefix-cache/why: Will I notice prefix caching in my chat application?
prefix-cache/how: Tell me how the hash of a KV block is formed and what it is good for.
prefix-cache/eviction: What happens first to old prefix blocks under memory pressure?
prefix-cache/partial: Does prefix caching also cover blocks that have not been filled up yet?
fragmentation/what: Does fragmentation still occur with a paged KV cache?
preemption/what: What leads to preemption, and is anything lost by it? | No KV block is available any longer, how does the scheduler react?
preemption/how: Describe how work continues for a request that had been preempted.
preemption/who: Who is hit by preemption, newcomers or veterans?
swapping/what: What does it mean to swap KV blocks out to the CPU?
out-of-memory/what: Everything I load ends in OOM, which knobs should I turn?
cache-budget/what: What is behind the setting gpuMemoryUtilization? | How does the engine come to its number of KV blocks?
context-length/what: What happens to be the meaning of context window? | Does the context length include the answer too?
context-length/long: How does attention suffer if the context is very long?
continuous-batching/what: Summarise how continuous batching handles arrivals and departures. | Does a fresh request need to wait until all running ones have ended?
continuous-batching/why: Is it true that continuous batching gives several times the throughput, and why would it?
static-batching/what: What is static batching and what is bad about it?
batching/what: What advantage do we get out of batching? | Why is sharing a step among many users economical?
batching/limit: Beyond which batch size is there nothing more to win?
ragged-batch/what: What is a ragged batch, and why does it have no padding?
scheduler/what: What factors does the scheduler take into account? | Somebody must choose whose tokens are computed now: who?
token-budget/what: Who gets how much of the token budget in a step?
token-budget/tuning: Is a small token budget or a large one preferable?
max-num-seqs/what: What do I gain and lose by raising maxNumSeqs?
prefill/what: What is prefill and when is it over? | My text has just arrived at the server, what is computed with it first?
prefill/bound: Is it arithmetic or bandwidth that slows prefill down?
decode/what: What is going on in the decode phase? | How are the second, third and all later tokens made?
decode/bound: Is it arithmetic or bandwidth that slows decode down?
prefill-decode/what: Name the two stages of a request and what limits each of them.
chunked-prefill/what: How are chunks of a prefill scheduled? | Must my very large prompt go through the network in a single piece?
chunked-prefill/why: What would go wrong for the others if there were no chunked prefill?
queues/what: In which states can a request be before it is finished?
fairness/what: Does the engine follow FCFS, and what is nice about that?
sequence/what: What belongs to a sequence object?
step/what: How would you explain an engine step?
async-scheduling/what: What does async scheduling overlap?
finish-reason/what: Which values can the finish reason take?
abort/what: What does the engine do after a request was cancelled?
sampling/what: How does sampling from a distribution work here? | My friend and I typed the same thing but received different replies, why?
logits/what: What are logits before and after softmax?
softmax/what: Can you give me softmax as a formula in words?
temperature/what: How does temperature influence what the model writes? | I find the replies too dull, would another temperature make them livelier?
temperature/zero: Is the output always identical with temperature 0?
greedy/what: When decoding greedily, which token wins each time?
top-k/what: How does top-k sampling cut the list of candidates?
top-p/what: How does top-p sampling cut the list of candidates?
top-p/versus-top-k: In one sentence each: top-k and top-p, how are they different?
min-p/what: How does min-p sampling cut the list of candidates?
seed/what: Why would I give a request its own seed?
presence-penalty/what: How is the presence penalty applied?
frequency-penalty/what: How is the frequency penalty applied?
repetition-penalty/what: Does the repetition penalty add, divide or multiply?
repetition/what: What should I do against a model that is looping? | The output is nonsense that starts over every few words, can I stop this?
logprobs/what: How do I read the logprobs in a result?
logprobs/prompt: When are prompt logprobs handy?
stop-strings/what: How do stop strings work for the user? | I would like the text to be over once the model prints a certain word.
stop-strings/how: How can a stop string be found if the tokens cut it in half?
stop-token-ids/what: Why would I use stopTokenIds rather than stop?
max-tokens/what: What limit does maxTokens impose?
min-tokens/what: When is minTokens useful?
eos/what: What does the EOS token do? | How can the engine tell that a reply is finished?
eos/ignore: What is ignoreEos used for in practice?
logit-bias/what: What can I achieve with a large logit bias?
bad-words/what: How does the engine implement badWords?
allowed-tokens/what: For which tasks is allowedTokenIds made?
structured-output/what: How does JSON mode guarantee that the result is valid?
beam-search/what: When should I choose beam search and when not?
parallel-samples/what: What are the costs of setting n to 8?
gumbel-trick/what: Explain sampling by the Gumbel-max trick.
llm/what: What is an LLM at its core? | How come a program can write whole paragraphs?
inference/what: How would you tell inference and training apart?
inference-engine/what: For what do I need an LLM engine? | Besides the weights, which software do I require to get fast answers?
transformer/what: What is inside a transformer layer?
attention/what: What is the purpose of attention in a layer? | How can a word take other words of the sentence into account?
qkv/what: What is the job of the query, what of the key and what of the value?
causal-mask/what: What is hidden by a causal mask and why is this helpful for caching?
attention-heads/what: Why not a single big attention head?
gqa/what: What is GQA, for example in Qwen3?
gqa/why: Does grouped-query attention make the cache smaller?
mqa/what: What are the good and bad sides of multi-query attention?
rope/what: What does the rotation in RoPE achieve? | Swap two words and the meaning changes: how can the model notice?
rope/theta: What happens if I make rope_theta bigger?
rmsnorm/what: How do RMSNorm and LayerNorm compare?
rmsnorm/epsilon: Why does RMSNorm add an epsilon?
qk-norm/what: Why would a model have QK norm?
mlp/what: What is the feed-forward network good for in each layer?
swiglu/what: How does SwiGLU gate its input?
silu/what: What does the SiLU curve look like?
residual/what: Why are there residual connections around the blocks?
embedding/what: What is the embedding table used for?
embedding/tied: What is the benefit of tie_word_embeddings?
lm-head/what: When does the engine run the LM head?
hidden-size/what: What is meant by the hidden size of a model?
parameters/what: How many bytes are 600 million parameters? | What are the billions in model names about?
moe/what: What is a mixture of experts in simple terms?
moe/router: How does the router of an MoE layer work?
sliding-window/what: What is the effect of sliding-window attention on memory?
flash-attention/what: What is the main idea of flash attention?
online-softmax/what: Why is online softmax useful for attention kernels?
lora/what: How do LoRA adapters change a base model?
speculative-decoding/what: How does speculative decoding gain speed? | Is there a way to have a smaller network propose words that a bigger one approves?
speculative-decoding/lossless: Can I use speculative decoding without harming my answers?
ngram/what: How does prompt lookup find its guesses?
token/what: How is a token defined? | Are syllables or words what the network works on?
tokenizer/what: What role has a tokenizer? | I typed letters, yet the network takes numbers: who does the conversion?
tokenizer/why-not-words: Why are subwords preferred?
bpe/what: How are the merges of BPE found?
bpe/encode: How does BPE encode text it has not seen in training?
byte-level/what: What is good about byte-level BPE?
pre-tokenizer/what: Why is there a pre-tokenizer in front of BPE?
digits/what: Why do you use single-digit tokens?
vocabulary/what: How does the vocabulary size influence a model?
special-tokens/what: What is the use of special tokens?
chat-template/what: What is a chat template and where is it kept? | My model ignores that it is in a conversation, which formatting did I forget?
chat-template/generation-prompt: Should I set add_generation_prompt, and what would it append?
chatml/what: How does ChatML mark who is speaking?
system-prompt/what: What can a system prompt be used for?
detokenizer/what: What is incremental detokenization and why does it delay some bytes?
streaming/what: Does streaming make the reply faster? | The website shows one word after the other, how is that effect made?
safetensors/what: How is a safetensors file organised?
safetensors/safe: In what sense are safetensors safe?
shards/what: Why are weights sharded and how does one find a tensor?
gguf/what: What is stored in the GGUF format?
config-json/what: What does config.json tell the engine?
generation-config/what: Do I need generation_config.json, and what for?
dummy-weights/what: When should I load dummy weights?
mmap/what: Why do programs use mmap for weights?
bf16/what: How are the bits of bf16 divided?
bf16/versus-f16: bf16 or f16, what are the trade-offs?
f16/what: Which numbers can f16 represent?
fp8/what: What kinds of fp8 are there?
accumulate/what: Why is f32 accumulation necessary?
quantization/what: What happens to weights when they are quantized? | The original model is 16 GB, how did somebody squeeze it into 5 GB?
quantization/why: What are the reasons to run a quantized model?
quantization/quality: How bad is the loss caused by quantization?
quantization/weight-only: What remains unquantized in weight-only quantization?
q8_0/what: Explain q8_0 blocks.
q4_0/what: Explain q4_0 blocks.
scale/what: What does the scale of a quantized block do?
perplexity/what: How should I interpret perplexity?
activations/what: Why do activations take little space?
dequantize/what: Where are quantized weights dequantized?
roofline/what: How do I apply the roofline model to a kernel?
arithmetic-intensity/what: What does arithmetic intensity tell us?
bandwidth/what: How does memory bandwidth limit decode?
gemm/what: Why does GEMM matter for prefill?
gemv/what: Why does GEMV matter for decode?
kernel/what: How many threads run a kernel, and on what?
fusion/what: What does kernel fusion bring us?
split-k/what: When would a kernel author use split-K?
webgpu/what: Where can WebGPU be used? | How does an ordinary web page get at the power of a graphics chip?
webgpu/why: What made you build on WebGPU?
wgsl/what: Who writes the WGSL in this engine?
workgroup/what: What can a workgroup do that single threads cannot?
workgroup/memory: Why do kernels load tiles to workgroup memory?
subgroup/what: What makes subgroup operations cheap?
subgroup/matrix: Why should a kernel use subgroup matrices?
dispatch/what: Why does dispatch overhead hurt small models?
pipeline/what: Why are compute pipelines built at load?
bind-group/what: What is the purpose of bind groups?
replay/what: How are CUDA graphs imitated here?
wasm/what: Why was WebAssembly chosen for the CPU? | What runs the model when a computer lacks a graphics card?
wasm/simd: What can WASM SIMD do in one go?
wasm/threads: How do WASM threads work together?
isolation/what: How do I make a page cross-origin isolated?
reference/what: What is the reference backend good for?
tensor-parallel/what: What is cut and what is summed in tensor parallelism?
pipeline-parallel/what: What is the weakness of pipeline parallelism?
ttft/what: What does TTFT consist of? | How do we call the seconds that pass before a reply starts to appear?
ttft/lower: Which measures bring the time to first token down?
tpot/what: How is time per output token defined?
throughput/what: How do you define the throughput of an engine?
throughput/versus-latency: How are throughput and latency related?
latency/what: How is end-to-end latency composed?
latency/tail: Why do people care about tail latency?
openai-api/what: Is the server compatible with OpenAI? | I have a chat front end written for GPT, can it talk to this program?
sse/what: How do server-sent events carry tokens?
batch-api/what: When would I use offline inference?
metrics/what: What can be learnt from the engine's metrics?
warmup/what: Why is a warm-up needed?
benchmark/what: What belongs to a fair benchmark?
vllm/what: What should I know about the vLLM project?
nano-vllm/what: What is nano-vLLM for TypeScript? | Can you summarise what I get with this package?
nano-vllm/program: What is meant by "a model is a program" in this engine?
nano-vllm/devices: Which backend should I choose on which machine?
llama-cpp/what: How would you characterise llama.cpp?
qwen3/what: How is a Qwen3 model built?
`;
