/** The reference backend against transformers, on every golden checkpoint. */
import { goldenTests } from "../support/golden.ts";

goldenTests("reference", { tolerance: 1e-4 });
