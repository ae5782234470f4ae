/** The part of onnxruntime-node 1.30 used here, with its types: the package is not installed where the project is checked. */

export interface Tensor {
	readonly data: Float32Array | BigInt64Array | Int32Array;
	readonly dims: readonly number[];
}

export interface Session {
	readonly inputMetadata: readonly {
		readonly name: string;
		readonly shape: readonly (number | string)[];
	}[];
	/** Outputs named in `into` are written there. */
	run(
		inputs: Readonly<Record<string, Tensor>>,
		into: Readonly<Record<string, Tensor>>,
	): Promise<Readonly<Record<string, Tensor>>>;
	release(): Promise<void>;
}

interface Package {
	readonly InferenceSession: {
		create(
			model: string | Uint8Array,
			options: Readonly<Record<string, unknown>>,
		): Promise<Session>;
	};
	readonly Tensor: new (
		type: string,
		data: Tensor["data"],
		dims: readonly number[],
	) => Tensor;
	readonly env: { readonly versions: { readonly node?: string } };
}

export async function loadOrt(threads: number) {
	// Not a literal, so that the type checker does not look for the package.
	const name: string = "onnxruntime-node";
	const { default: ort } = (await import(name)) as { default: Package };
	return {
		version: ort.env.versions.node ?? "",
		/** @param model a path, or the file's bytes */
		open: (model: string | Uint8Array): Promise<Session> =>
			ort.InferenceSession.create(model, {
				executionProviders: ["cpu"],
				graphOptimizationLevel: "all",
				executionMode: "sequential",
				intraOpNumThreads: threads,
				interOpNumThreads: 1,
				logSeverityLevel: 3,
			}),
		tensor: (type: string, data: Tensor["data"], dims: readonly number[]) =>
			new ort.Tensor(type, data, dims),
	};
}
