/** ggml's element types by number: their names and what a block of each takes. Knows no arithmetic. After ggml.h and ggml.c's type traits. */
import type { StoredDtype } from "../backends/backend.ts";

export interface GgmlType {
	/** As ggml spells it. */
	readonly name: string;
	/** null: a type we do not run. */
	readonly dtype: StoredDtype | null;
	readonly blockElements: number;
	readonly blockBytes: number;
}

/** Every type with a number today. Sizes of those we do not run are known too, so that a file's claims can be checked all the same. */
export const GGML_TYPES: ReadonlyMap<number, GgmlType> = new Map([
	run(0, "f32", 1, 4),
	run(1, "f16", 1, 2),
	run(2, "q4_0", 32, 18),
	run(3, "q4_1", 32, 20),
	run(6, "q5_0", 32, 22),
	run(7, "q5_1", 32, 24),
	run(8, "q8_0", 32, 34),
	other(9, "q8_1", 32, 36),
	run(10, "q2_k", 256, 84),
	run(11, "q3_k", 256, 110),
	run(12, "q4_k", 256, 144),
	run(13, "q5_k", 256, 176),
	run(14, "q6_k", 256, 210),
	other(15, "q8_k", 256, 292),
	other(16, "iq2_xxs", 256, 66),
	other(17, "iq2_xs", 256, 74),
	other(18, "iq3_xxs", 256, 98),
	other(19, "iq1_s", 256, 50),
	run(20, "iq4_nl", 32, 18),
	other(21, "iq3_s", 256, 110),
	other(22, "iq2_s", 256, 82),
	run(23, "iq4_xs", 256, 136),
	other(24, "i8", 1, 1),
	other(25, "i16", 1, 2),
	other(26, "i32", 1, 4),
	other(27, "i64", 1, 8),
	other(28, "f64", 1, 8),
	other(29, "iq1_m", 256, 56),
	run(30, "bf16", 1, 2),
	other(34, "tq1_0", 256, 54),
	other(35, "tq2_0", 256, 66),
	run(39, "mxfp4", 32, 17),
]);

type Entry = readonly [number, GgmlType];

function run(
	id: number,
	dtype: StoredDtype,
	blockElements: number,
	blockBytes: number,
): Entry {
	return [id, { name: dtype, dtype, blockElements, blockBytes }];
}

function other(
	id: number,
	name: string,
	blockElements: number,
	blockBytes: number,
): Entry {
	return [id, { name, dtype: null, blockElements, blockBytes }];
}
