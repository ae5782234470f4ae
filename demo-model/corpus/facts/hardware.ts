/** Facts about devices, kernels and what bounds their speed. */
import type { Topic } from "./topic.ts";

export const hardwareTopics: Record<string, Topic> = {
	roofline: {
		names: ["the roofline model", "a roofline", "roofline analysis"],
		facts: {
			what: {
				answer:
					"The roofline model says that a kernel can be no faster than its compute divided by peak FLOP/s or its bytes divided by bandwidth, whichever takes longer. It tells how far a kernel is from the limit.",
				ask: [
					"What is the roofline model?",
					"How fast can a kernel be at best?",
					"How do I know the speed limit of a kernel?",
					"What does a roofline tell me?",
					"How far is my kernel from the hardware limit?",
					"Is there a simple way to bound a kernel's best time?",
					"Somebody drew a roof over my benchmark, what is this chart?",
				],
			},
		},
	},
	"arithmetic-intensity": {
		names: ["arithmetic intensity", "operational intensity", "FLOPs per byte"],
		facts: {
			what: {
				answer:
					"Arithmetic intensity is the number of operations done per byte moved from memory. If it is low, bandwidth is the limit; if it is high, compute is.",
				ask: [
					"What is arithmetic intensity?",
					"How do I know whether a kernel is compute bound?",
					"What is the ratio of operations to bytes?",
					"What does a low arithmetic intensity mean?",
					"Compute bound or memory bound, how do I tell?",
					"Which ratio separates bandwidth-limited from compute-limited work?",
					"Operations divided by bytes, how is it called?",
				],
			},
		},
	},
	bandwidth: {
		names: ["memory bandwidth", "the memory bandwidth", "GPU bandwidth"],
		facts: {
			what: {
				answer:
					"Memory bandwidth is how many bytes per second a device can read. Divide it by the bytes of the weights and you get the highest decode speed of a single request.",
				ask: [
					"What is memory bandwidth?",
					"How fast can a single request decode?",
					"How do I estimate tokens per second?",
					"What is the speed limit for batch size 1?",
					"Why does bandwidth matter for LLMs?",
					"My GPU reads 3 TB/s, what top speed follows for one user?",
					"Which figure on the data sheet predicts single-user speed?",
				],
			},
		},
	},
	gemm: {
		names: ["GEMM", "matrix multiplication", "a matrix product"],
		facts: {
			what: {
				answer:
					"GEMM is the general product of two matrices, and prefill spends most of its time in it. Fast versions work on tiles that are reused from on-chip memory.",
				ask: [
					"What is GEMM?",
					"What does GEMM stand for?",
					"Where does prefill spend its time?",
					"How is a matrix product made fast?",
					"Which operation dominates prefill?",
					"What eats up most of the time when a prompt is processed?",
					"Multiplying big matrices quickly, what is the main trick?",
				],
			},
		},
	},
	gemv: {
		names: ["GEMV", "a matrix-vector product", "matrix-vector multiplication"],
		facts: {
			what: {
				answer:
					"GEMV is the product of a matrix and one vector, as in decode with a single request. Every weight is used once, so its speed is that of memory.",
				ask: [
					"What is GEMV?",
					"What does GEMV stand for?",
					"Which operation dominates decode at batch 1?",
					"How does GEMV differ from GEMM?",
					"Why is GEMV limited by memory?",
					"With only one user, which product fills the time?",
					"A matrix times a single column: name and speed limit?",
				],
			},
		},
	},
	kernel: {
		names: ["a kernel", "a GPU kernel", "compute kernels"],
		facts: {
			what: {
				answer:
					"A kernel is a small program that many threads of a device run at once on different data. A model step is a sequence of such kernels.",
				ask: [
					"What is a GPU kernel?",
					"What does kernel mean here?",
					"What runs on the GPU?",
					"What is a model step made of on the device?",
					"How does a GPU run code in parallel?",
					"Thousands of threads run one little program, what is it named?",
					"Define kernel, not the operating system one.",
				],
			},
		},
	},
	fusion: {
		names: ["kernel fusion", "fused kernels", "fusing kernels"],
		facts: {
			what: {
				answer:
					"Kernel fusion joins several operations in one kernel, so that results between them stay in registers. It saves memory traffic and launches.",
				ask: [
					"What is kernel fusion?",
					"Why are kernels fused?",
					"What does a fused kernel save?",
					"Can several operations run in one kernel?",
					"How does fusion make a model faster?",
					"Norm and matmul in a single launch, what is that practice?",
					"Why glue operations together?",
				],
			},
		},
	},
	"split-k": {
		names: ["split-K", "split-K matrix products", "splitting the K dimension"],
		facts: {
			what: {
				answer:
					"Split-K divides the long inner sum of a matrix product among several workgroups and adds their parts at the end. It keeps a GPU busy when the output is small.",
				ask: [
					"What is split-K?",
					"How can a small matrix product fill a GPU?",
					"Which dimension is divided in split-K?",
					"When does split-K help?",
					"How are the parts of split-K combined?",
					"The output has few tiles and my GPU idles, what can be done?",
					"Partial sums over the inner dimension, which method is this?",
				],
			},
		},
	},
	webgpu: {
		names: ["WebGPU", "the WebGPU API", "the webgpu backend"],
		facts: {
			what: {
				answer:
					"WebGPU is the web's modern interface to graphics cards, with compute shaders. It works in browsers and, through a native library, in Node.",
				ask: [
					"What is WebGPU?",
					"How does a browser use the GPU?",
					"Does WebGPU work in Node?",
					"How can JavaScript compute on a graphics card?",
					"Which API gives the web access to GPUs?",
					"Could a web page really drive my graphics card?",
					"I have heard of WebGPU but never used it, what is it?",
				],
			},
			why: {
				answer:
					"WebGPU lets one code base run on the GPUs of many makers without CUDA, on the user's own machine. No install is needed in a browser, and the data stays private.",
				ask: [
					"Why WebGPU and not CUDA?",
					"Why run a model in the browser?",
					"What is the advantage of WebGPU?",
					"Does WebGPU need an NVIDIA card?",
					"Why is local inference in a browser nice?",
					"What speaks for WebGPU in comparison to CUDA?",
					"Do I have to own a certain brand of card for this engine?",
				],
			},
		},
	},
	wgsl: {
		names: ["WGSL", "the WebGPU shading language", "WGSL shaders"],
		facts: {
			what: {
				answer:
					"WGSL, the WebGPU shading language, is what WebGPU shaders are written in. This engine makes its kernels as WGSL text from TypeScript functions.",
				ask: [
					"What is WGSL?",
					"In which language are WebGPU kernels written?",
					"How are the WebGPU kernels of this engine written?",
					"What does WGSL stand for?",
					"Which shading language does WebGPU use?",
					"What code do I write for a WebGPU shader?",
					"Your GPU programs, in what language are they?",
				],
			},
		},
	},
	workgroup: {
		names: ["a workgroup", "workgroups", "a WebGPU workgroup"],
		facts: {
			what: {
				answer:
					"A workgroup is a set of GPU threads that run together, can wait for each other and share fast on-chip memory. A dispatch starts many workgroups.",
				ask: [
					"What is a workgroup?",
					"Which threads can share memory?",
					"What does a dispatch start?",
					"What can threads of a workgroup do together?",
					"How are GPU threads grouped?",
					"Threads that can wait for one another form what?",
					"How do threads on a GPU team up?",
				],
			},
			memory: {
				answer:
					"Workgroup memory is a small, fast memory on the chip that the threads of one workgroup share. Kernels load tiles into it so that main memory is read only once.",
				ask: [
					"What is workgroup memory?",
					"What is shared memory on a GPU?",
					"Where do kernels keep their tiles?",
					"Why is workgroup memory fast?",
					"How do threads of a workgroup exchange data?",
					"Is there a scratchpad that neighbouring threads can share?",
					"Where should I put a tile that is read many times?",
				],
				subjects: ["workgroup memory", "shared memory", "on-chip memory"],
			},
		},
	},
	subgroup: {
		names: ["a subgroup", "subgroups", "subgroup operations", "a warp"],
		facts: {
			what: {
				answer:
					"A subgroup is a handful of threads, 32 on many GPUs, that run in lockstep. They can exchange registers directly, which makes sums over threads very cheap.",
				ask: [
					"What is a subgroup?",
					"What is a warp in WebGPU terms?",
					"How many threads has a subgroup?",
					"What does subgroupAdd do?",
					"How can threads exchange registers?",
					"Which threads march in lockstep on the GPU?",
					"What is CUDA's warp called here, and what is it good for?",
				],
			},
			matrix: {
				answer:
					"Subgroup matrices let a subgroup multiply small matrices with the special units of a GPU, such as tensor cores. They are many times faster than plain multiply-adds.",
				ask: [
					"What are subgroup matrices?",
					"How does WebGPU use tensor cores?",
					"What is a tensor core?",
					"How can matrix products be sped up on a GPU?",
					"Which WebGPU feature multiplies small matrices?",
					"My card has units for matrix maths, can this be exploited from WGSL?",
					"Which hardware multiplies tiny matrices in one go?",
				],
				subjects: [
					"subgroup matrices",
					"tensor cores",
					"subgroup matrix operations",
				],
			},
		},
	},
	dispatch: {
		names: [
			"a dispatch",
			"dispatch overhead",
			"kernel launches",
			"a kernel launch",
		],
		facts: {
			what: {
				answer:
					"A dispatch starts one kernel on the device, and each costs a few microseconds. A step has hundreds of them, so fewer dispatches make small models faster.",
				ask: [
					"What is a dispatch?",
					"What does a kernel launch cost?",
					"Why are many small kernels slow?",
					"How many kernels does a step start?",
					"Why does the number of dispatches matter?",
					"Does starting a kernel cost anything?",
					"Hundreds of tiny launches per step, is it a problem?",
				],
			},
		},
	},
	pipeline: {
		names: ["a compute pipeline", "a WebGPU pipeline", "pipeline compilation"],
		facts: {
			what: {
				answer:
					"A compute pipeline is a compiled shader that is ready to run. Compiling takes time, so an engine does it once at load and replays the pipelines in every step.",
				ask: [
					"What is a compute pipeline?",
					"When are shaders compiled?",
					"Why does loading take a while on WebGPU?",
					"Why are pipelines made at load time?",
					"Are shaders compiled at each step?",
					"What must become of shader text before the device can run it?",
					"Startup is slow the first time, is something being compiled?",
				],
			},
		},
	},
	"bind-group": {
		names: ["a bind group", "bind groups", "WebGPU bind groups"],
		facts: {
			what: {
				answer:
					"A bind group tells a WebGPU kernel which buffers to use. The engine makes all bind groups in advance, so that no step has to build them.",
				ask: [
					"What is a bind group?",
					"How does a kernel get its buffers?",
					"When are bind groups made?",
					"How are buffers passed to a shader?",
					"What connects buffers with a pipeline?",
					"How would I hand my arrays to a WGSL program?",
					"Which object says what buffers a shader reads?",
				],
			},
		},
	},
	replay: {
		names: [
			"CUDA graphs",
			"a compiled step",
			"replaying a step",
			"graph capture",
		],
		facts: {
			what: {
				answer:
					"CUDA graphs record the kernels of a step once and replay them with almost no CPU work. This engine gets the same effect by compiling its program of ops once.",
				ask: [
					"What are CUDA graphs?",
					"What does this engine use instead of CUDA graphs?",
					"How can the CPU cost of a step be lowered?",
					"Why is the program compiled once?",
					"How is a step replayed?",
					"Recording launches and repeating them, what is that in CUDA?",
					"How do you get rid of the host's cost per step?",
				],
			},
		},
	},
	wasm: {
		names: ["WebAssembly", "WASM", "the WASM backend", "the cpu backend"],
		facts: {
			what: {
				answer:
					"WebAssembly is a compact binary code that runs at near native speed in browsers and in Node. The CPU backend of this engine is built from it.",
				ask: [
					"What is WebAssembly?",
					"What is WASM?",
					"How does the engine run fast on a CPU?",
					"Which technology does the CPU backend use?",
					"How does JavaScript get near native speed?",
					"There is no GPU in my laptop, what does the engine run on?",
					"Binary code for the web: what is it called?",
				],
			},
			simd: {
				answer:
					"WASM SIMD adds instructions that work on 128 bits at once, such as four floats or sixteen bytes. Dot products of quantized weights gain most from it.",
				ask: [
					"What is WASM SIMD?",
					"What does SIMD mean?",
					"How many numbers does a SIMD instruction process?",
					"Why is SIMD useful for inference on a CPU?",
					"How wide are WASM vectors?",
					"Can WebAssembly handle several floats with one instruction?",
					"What does 128-bit vector code bring on the CPU?",
				],
				subjects: ["WASM SIMD", "SIMD", "vector instructions"],
			},
			threads: {
				answer:
					"WASM threads are workers that share one memory through a SharedArrayBuffer. Each takes a part of every operation, and they meet at a barrier after it.",
				ask: [
					"How does the CPU backend use several cores?",
					"What are WASM threads?",
					"What is a SharedArrayBuffer for?",
					"How do workers share the weights?",
					"Where do threads wait for each other?",
					"My processor has eight cores, will they all be busy?",
					"How do several workers cooperate on a single model?",
				],
				subjects: [
					"WASM threads",
					"worker threads",
					"SharedArrayBuffer",
					"multithreading on the CPU",
				],
			},
		},
	},
	isolation: {
		names: [
			"cross-origin isolation",
			"COOP and COEP",
			"cross-origin isolated pages",
		],
		facts: {
			what: {
				answer:
					"A web page must be cross-origin isolated before it may use SharedArrayBuffer. The server turns this on with two headers, COOP and COEP.",
				ask: [
					"What is cross-origin isolation?",
					"Why is SharedArrayBuffer missing in my page?",
					"Which headers allow threads in the browser?",
					"What are COOP and COEP?",
					"How do I turn on threads in a web page?",
					"In the browser I am stuck with one thread, what must the server send?",
					"Two headers unlock shared memory, which?",
				],
			},
		},
	},
	reference: {
		names: [
			"the reference backend",
			"a reference implementation",
			"the slow reference",
		],
		facts: {
			what: {
				answer:
					"The reference backend is written in plain loops and defines what every operation means. All fast kernels are tested against it.",
				ask: [
					"What is the reference backend for?",
					"How are fast kernels tested?",
					"Why keep a slow implementation?",
					"What is the oracle of the tests?",
					"How do I know that a kernel is right?",
					"Why on earth ship a backend made of simple loops?",
					"Against what truth do you check a kernel?",
				],
			},
		},
	},
	"tensor-parallel": {
		names: [
			"tensor parallelism",
			"tensor parallel",
			"splitting a layer over GPUs",
		],
		facts: {
			what: {
				answer:
					"Tensor parallelism cuts each weight matrix over several GPUs, which work on the same token together. They must add up their partial results twice per layer.",
				ask: [
					"What is tensor parallelism?",
					"How can several GPUs run one layer?",
					"How is a model split over GPUs?",
					"What do GPUs exchange in tensor parallelism?",
					"How do I run a model that is too large for one GPU?",
					"Four cards and one huge model: how may each matrix be shared out?",
					"Which parallelism needs a sum across devices in each layer?",
				],
			},
		},
	},
	"pipeline-parallel": {
		names: [
			"pipeline parallelism",
			"pipeline parallel",
			"splitting layers over GPUs",
		],
		facts: {
			what: {
				answer:
					"Pipeline parallelism puts the first layers on one GPU and the next ones on another. Little data is exchanged, but several batches must be in flight to keep all GPUs busy.",
				ask: [
					"What is pipeline parallelism?",
					"How can different layers run on different GPUs?",
					"How does pipeline parallelism differ from tensor parallelism?",
					"What keeps all stages of a pipeline busy?",
					"Which parallelism exchanges the least data?",
					"Layers 1 to 20 here, the rest on a second card: what is it called?",
					"Stages of a model on separate devices, what is the catch?",
				],
			},
		},
	},
};
