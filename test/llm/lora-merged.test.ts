/** An adapter beside the weights and the same one merged into them: one answer. */
import { loraMixTest, loraTests } from "../support/lora-case.ts";

loraTests("reference", { tolerance: 2e-5 });
for (const maxLoras of [1, 2, 3])
	loraMixTest("reference", maxLoras, { tolerance: 2e-5 });
