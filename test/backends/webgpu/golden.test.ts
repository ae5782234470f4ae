/**
 * The golden checkpoints on the GPU: golden texts are scored, within what rounding costs. In f32 only the cache's halves show; the
 * default for bf16 and f16 checkpoints has halves throughout. Seen: 1.5e-2 and 2.7e-2.
 */
import { goldenScores } from "../../support/golden.ts";

goldenScores("webgpu", { tolerance: 0.02, load: { dtype: "f32" } });
goldenScores("webgpu", { tolerance: 0.04 });
goldenScores("webgpu", {
	tolerance: 0.04,
	load: { maxNumBatchedTokens: 7, maxNumSeqs: 6 },
});
/**
 * Of the families those whose ops differ most; features.test.ts has the rest of the features. The halves of the cache cost 3.9e-2 in gpt-oss,
 * whose experts change over them, on the cpu device too.
 */
goldenScores("webgpu", {
	set: "families",
	only: ["gemma2-caps", "gpt-oss"],
	tolerance: 0.06,
	load: { dtype: "f32" },
});
/** All of them in halves where a GPU is quick enough: 5.2e-2 at most on an H100, but 0.12 in gpt-oss, whose routes change over halves. */
if (!process.env.VK_DRIVER_FILES?.includes("swiftshader"))
	goldenScores("webgpu", { set: "families", tolerance: 0.15 });
