/** The reference backend against transformers, on tiny checkpoints of every model family. */
import { goldenTests } from "../support/golden.ts";

goldenTests("reference", { set: "families", tolerance: 1e-3 });
