/** The reference backend against transformers, on tiny checkpoints of every model family. */
import { goldenTests } from "../support/golden.ts";

// Seen: 2.3e-5.
goldenTests("reference", { set: "families", tolerance: 1e-4 });
