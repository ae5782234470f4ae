/**
 * The device room: asks an adapter for all it has that a kernel can use, and turns everything that goes wrong on it into a
 * NanoVllmError. Knows no kernel and no model.
 */
import { NanoVllmError } from "../../errors.ts";

/** Flags of the specification; Node has no globals for them. */
export const USAGE = {
	MAP_READ: 0x1,
	MAP_WRITE: 0x2,
	COPY_SRC: 0x4,
	COPY_DST: 0x8,
	UNIFORM: 0x40,
	STORAGE: 0x80,
	QUERY_RESOLVE: 0x200,
} as const;
export const MAP_MODE = { READ: 1, WRITE: 2 } as const;

/** What kernels are written for: a kernel's text depends on nothing else of the device. */
export interface Abilities {
	/** Lanes every subgroup has at least; 1 where the device has no subgroups. */
	readonly subgroupSize: number;
	/** f16 × f16 → f32 matrices of 16 × 16 over a subgroup of 32 lanes (chromium_experimental_subgroup_matrix), and `enable f16`. */
	readonly subgroupMatrix: boolean;
	/** Threads of a workgroup at most. */
	readonly maxInvocations: number;
	/** Workgroup memory in bytes. */
	readonly workgroupBytes: number;
	/** Bytes one binding may show at most. */
	readonly bindingBytes: number;
	/** Storage buffers a kernel may bind; eight everywhere. */
	readonly storageBuffers: number;
}

export interface Gpu {
	readonly device: GPUDevice;
	readonly abilities: Abilities;
	/** For people: vendor, architecture, what is in use. */
	readonly description: string;
	/** Memory of its own, which nothing else on the machine needs. As far as WebGPU tells: that it is NVIDIA's. */
	readonly hasOwnMemory: boolean;
	readonly timestamps: boolean;
	/** Throws what has gone wrong on the device since it was opened. @throws device_lost, backend_failed, out_of_memory */
	check(): void;
	/** Resolves when the device is lost or has failed; never rejects. */
	readonly failed: Promise<NanoVllmError>;
	/** Runs `allocate` and reports what of it the device had no room for. @throws out_of_memory, backend_failed */
	guarded<T>(what: string, allocate: () => T | Promise<T>): Promise<T>;
	/** Whether the device has room for what `allocate` creates; the device goes on either way. */
	fits(allocate: () => void): Promise<boolean>;
	close(): void;
}

const OPTIONAL_FEATURES = [
	"shader-f16",
	"subgroups",
	"timestamp-query",
	"chromium-experimental-subgroup-matrix",
] as const;

/** Asked for as large as the adapter has them. */
const LIMITS = [
	"maxBufferSize",
	"maxStorageBufferBindingSize",
	"maxStorageBuffersPerShaderStage",
	"maxComputeWorkgroupStorageSize",
	"maxComputeInvocationsPerWorkgroup",
	"maxComputeWorkgroupSizeX",
] as const;

/** Compiles only where the device multiplies the matrices our kernels use: what it has cannot be asked everywhere. */
const MATRIX_PROBE = `enable f16;
enable chromium_experimental_subgroup_matrix;
@group(0) @binding(0) var<storage, read_write> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(32) fn main() {
  let a = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&x, 0u, 2u);
  let b = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&x, 32u, 2u);
  var c: subgroup_matrix_result<f32, 16, 16>;
  c = subgroupMatrixMultiplyAccumulate(a, b, c);
  subgroupMatrixStore<row_major>(&y, 0u, c, 16u);
}`;

/** @throws device_unavailable */
export async function openGpu(gpu: GPU): Promise<Gpu> {
	const adapter = await gpu.requestAdapter({
		powerPreference: "high-performance",
	});
	if (adapter === null)
		throw new NanoVllmError(
			"device_unavailable",
			'this machine offers no WebGPU adapter. Install a Vulkan, Metal or Direct3D 12 driver, or use device "cpu".',
		);
	const features = OPTIONAL_FEATURES.filter((name) =>
		adapter.features.has(name),
	) as GPUFeatureName[];
	const requiredLimits: Record<string, number> = {};
	for (const name of LIMITS) requiredLimits[name] = adapter.limits[name];
	let device: GPUDevice;
	try {
		device = await adapter.requestDevice({
			requiredFeatures: features,
			requiredLimits,
		});
	} catch (cause) {
		throw new NanoVllmError(
			"device_unavailable",
			`the WebGPU adapter ${describe(adapter)} gives no device: ${(cause as Error).message}. Use device "cpu".`,
			{ cause },
		);
	}
	const matrix = await multipliesMatrices(device, adapter);
	return watch(device, adapter, gpu, matrix);
}

async function multipliesMatrices(
	device: GPUDevice,
	{ info }: GPUAdapter,
): Promise<boolean> {
	const { features } = device;
	const wanted = ["shader-f16", "chromium-experimental-subgroup-matrix"];
	if (!wanted.every((name) => features.has(name))) return false;
	if (info.subgroupMinSize !== 32 || info.subgroupMaxSize !== 32) return false;
	device.pushErrorScope("validation");
	const module = device.createShaderModule({ code: MATRIX_PROBE });
	const compute = { module, entryPoint: "main" };
	const compiled = await device
		.createComputePipelineAsync({ layout: "auto", compute })
		.then(
			() => true,
			() => false,
		);
	return (await device.popErrorScope()) === null && compiled;
}

/** `keepAlive`: Dawn in Node aborts the process when the object its `create` returned is collected before the device. */
function watch(
	device: GPUDevice,
	adapter: GPUAdapter,
	keepAlive: GPU,
	subgroupMatrix: boolean,
): Gpu {
	let failure: NanoVllmError | null = null;
	let closed = false;
	let tell: (error: NanoVllmError) => void = () => {};
	const failed = new Promise<NanoVllmError>((resolve) => {
		tell = resolve;
	});
	const fail = (error: NanoVllmError) => {
		failure ??= error;
		tell(failure);
	};
	device.lost.then(({ reason, message }) => {
		if (!closed) fail(deviceLost(reason, message));
	});
	device.onuncapturederror = ({ error }) => fail(asError(error, "a step"));
	return {
		device,
		abilities: abilitiesOf(device, adapter, subgroupMatrix),
		hasOwnMemory: adapter.info.vendor === "nvidia",
		description: describe(adapter),
		timestamps: device.features.has("timestamp-query"),
		failed,
		check() {
			if (failure !== null) throw failure;
		},
		async guarded(what, allocate) {
			const { result, error } = await scoped(device, allocate);
			if (error !== null) fail(asError(error, what));
			if (failure !== null) throw failure;
			if ("value" in result) return result.value;
			throw result.cause;
		},
		async fits(allocate) {
			const { result, error } = await scoped(device, allocate);
			if ("cause" in result) throw result.cause;
			return error === null;
		},
		close() {
			closed = true;
			device.destroy();
			void keepAlive;
		},
	};
}

/** Runs `work` and says what the device made of it. */
async function scoped<T>(
	device: GPUDevice,
	work: () => T | Promise<T>,
): Promise<{
	result: { value: T } | { cause: unknown };
	error: GPUError | null;
}> {
	device.pushErrorScope("out-of-memory");
	device.pushErrorScope("validation");
	const result = await (async () => work())().then(
		(value) => ({ value }),
		(cause: unknown) => ({ cause }),
	);
	const invalid = await device.popErrorScope();
	const full = await device.popErrorScope();
	return { result, error: full ?? invalid };
}

function deviceLost(reason: string, message: string): NanoVllmError {
	return new NanoVllmError(
		"device_lost",
		`the GPU was lost (${reason || "unknown"}): ${message || "no reason given"}. Requests in flight are gone; load the model again.`,
	);
}

function asError(error: GPUError, what: string): NanoVllmError {
	const { message } = error;
	if (error.constructor.name === "GPUOutOfMemoryError")
		return new NanoVllmError(
			"out_of_memory",
			`the GPU has no room for ${what}: ${message}. Lower kvCacheMemoryBytes or maxNumBatchedTokens, or load with a quantization.`,
		);
	return new NanoVllmError(
		"backend_failed",
		`WebGPU refused ${what}: ${message}`,
	);
}

function abilitiesOf(
	{ limits, features }: GPUDevice,
	{ info }: GPUAdapter,
	subgroupMatrix: boolean,
): Abilities {
	return {
		subgroupSize: features.has("subgroups") ? info.subgroupMinSize : 1,
		subgroupMatrix,
		maxInvocations: Math.min(
			limits.maxComputeInvocationsPerWorkgroup,
			limits.maxComputeWorkgroupSizeX,
		),
		workgroupBytes: limits.maxComputeWorkgroupStorageSize,
		bindingBytes: Math.min(
			limits.maxStorageBufferBindingSize,
			limits.maxBufferSize,
		),
		storageBuffers: limits.maxStorageBuffersPerShaderStage,
	};
}

function describe({ info }: GPUAdapter): string {
	return info.description || `${info.vendor} ${info.architecture}`.trim();
}
