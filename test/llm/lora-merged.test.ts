/** An adapter beside the weights and the same one merged into them: one answer. */
import { loraTests } from "../support/lora-case.ts";

loraTests("reference", { tolerance: 2e-5 });
