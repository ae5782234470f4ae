/** A memory of its own with the kernels of one build in it, for tests that call kernels directly. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { TensorDtype } from "../../../src/backends/backend.ts";
import { createArena } from "../../../src/backends/cpu/arena.ts";
import {
	depthOf,
	FORMATS,
	isQuantized,
	PANEL_COLUMNS,
	panelBytes,
	type WeightFormat,
} from "../../../src/backends/cpu/format.ts";
import {
	instantiate,
	type Kernels,
	loadKernels,
} from "../../../src/backends/cpu/kernels.ts";
import {
	float32ToBfloat16,
	float32ToFloat16,
} from "../../../src/weights/convert.ts";

export interface Room {
	readonly kernels: Kernels;
	readonly memory: WebAssembly.Memory;
	/** Everything handed out before is free again. */
	reset(): void;
	/** Bytes at a 64-byte boundary, full of NaN (f32) or −1 (integers), with more of it behind them. */
	take(bytes: number): number;
	f32(address: number, length: number): Float32Array;
	u16(address: number, length: number): Uint16Array;
	i32(address: number, length: number): Int32Array;
	put(values: ArrayLike<number>, type?: "f32" | "i32" | "u16"): number;
}

const GUARD_BYTES = 64;

/** Registers the tests of `define` once for the build with relaxed SIMD and once for the one without. */
export function eachBuild(define: (room: Room) => void): void {
	for (const build of ["relaxed", "base"] as const)
		suite(`${build} build`, async () => {
			const room = await openRoom(build);
			if (room !== null) define(room);
			else
				test("kernels", { skip: `no ${build} SIMD in this engine` }, () => {});
		});
}

/** @returns null where this engine cannot run the build */
async function openRoom(build: "relaxed" | "base"): Promise<Room | null> {
	const loaded = await loadKernels(false, { relaxed: build === "relaxed" });
	if (!loaded.build.startsWith(build)) return null;
	const memory = new WebAssembly.Memory({ initial: 512, maximum: 65536 });
	const kernels = instantiate(loaded.module, memory);
	let arena = createArena(65536);
	const room: Room = {
		kernels,
		memory,
		reset() {
			arena = createArena(65536);
		},
		take(bytes) {
			const address = arena.take(bytes + GUARD_BYTES);
			const missing = arena.end + 4096 - memory.buffer.byteLength;
			if (missing > 0) memory.grow(Math.ceil(missing / 65536));
			// All ones is a NaN of every float format.
			new Uint8Array(memory.buffer).fill(0xff, address, arena.end);
			return address;
		},
		f32: (address, length) => new Float32Array(memory.buffer, address, length),
		u16: (address, length) => new Uint16Array(memory.buffer, address, length),
		i32: (address, length) => new Int32Array(memory.buffer, address, length),
		put(values, type = "f32") {
			const address = room.take(values.length * (type === "u16" ? 2 : 4));
			room[type](address, values.length).set(values);
			return address;
		},
	};
	return room;
}

export interface PackedWeights {
	readonly address: number;
	readonly depth: number;
	readonly panelBytes: number;
}

/** Rows of f32 weights into panels, as load-weights.ts stages them. */
export function packWeights(
	room: Room,
	format: WeightFormat,
	rows: readonly Float32Array[],
	options: { step?: number; address?: number } = {},
): PackedWeights {
	const columns = rows[0].length;
	const depth = depthOf(format, columns);
	const bytes = panelBytes(format, columns);
	const padded = isQuantized(format) ? depth * 32 : columns;
	const step = options.step ?? 1;
	const address =
		options.address ??
		room.take(Math.ceil(rows.length / PANEL_COLUMNS) * step * bytes);
	const elementBytes = format === "f16" || format === "bf16" ? 2 : 4;
	const source = room.take(rows.length * padded * elementBytes);
	for (const [r, row] of rows.entries()) {
		const at = source + r * padded * elementBytes;
		if (format === "f16" || format === "bf16")
			room.u16(at, columns).set(encode16(row, format));
		else {
			room.f32(at, padded).fill(0);
			room.f32(at, padded).set(row);
		}
	}
	room.kernels.pack_rows(
		FORMATS[format].id,
		source,
		padded * elementBytes,
		rows.length,
		0,
		depth,
		address,
		bytes,
		step,
	);
	return { address, depth, panelBytes: bytes };
}

export function encode16(
	row: Float32Array,
	format: "f16" | "bf16",
): Uint16Array {
	return format === "f16"
		? float32ToFloat16(row).values
		: float32ToBfloat16(row);
}

/** The values a row has once it is stored as `dtype`, by arithmetic of its own. */
export function stored(row: Float32Array, dtype: TensorDtype): Float32Array {
	if (dtype === "f32") return row;
	if (dtype === "f16") return row.map((x) => Math.f16round(x));
	const bits = new Uint32Array(Float32Array.from(row).buffer);
	// To nearest even: half a unit of the last kept place, less a bit where that place is even.
	const rounded = bits.map(
		(u) => ((u + 0x7fff + ((u >>> 16) & 1)) >>> 16) << 16,
	);
	return new Float32Array(rounded.buffer);
}

/** NaN is close to nothing. `where` is asked for only when it is needed. */
export function assertClose(
	got: number,
	want: number,
	bound: number,
	where: () => string,
): void {
	if (Math.abs(got - want) <= bound) return;
	assert.fail(`${where()}: ${got}, not ${want} ± ${bound}`);
}
