/** The CPU backend against transformers, on the golden checkpoints of every family: exactly with the cache in f32, within its rounding in f16. */
import { goldenScores, goldenTests } from "../../support/golden.ts";

const set = "families";

goldenTests("cpu", {
	set,
	tolerance: 1e-4,
	load: { kvCacheDtype: "f32", threads: 2 },
});

// Keys and values of 11 significant bits; seen: 3.9e-2 with gpt-oss, whose scores are the largest, 1.7e-2 with the others.
goldenScores("cpu", { set, tolerance: 5e-2, load: { threads: 2 } });
