// The exports of the CPU kernels. docs: ../kernels.ts names and types them for TypeScript.
export { attend, write_cache } from "./attention";
export { attend_tiles } from "./attention-tiles";
export { dot_ceiling, read_ceiling } from "./ceiling";
export { embed } from "./embed";
export { gate_rows, soft_cap } from "./gating";
export { gated_linear, linear, linear_scatter, pack_rows, prepare_rows } from "./linear";
export { lora_expand, lora_shrink } from "./lora";
export { add_rows, norm_rows, rms_norm } from "./norm";
export { pack_block_rows } from "./pack-blocks";
export { norm_rope } from "./rope";
export { choose_experts, group_by_expert } from "./router";
export { sample_row } from "./sample";
export { barrier } from "./sync";
export { row, set_wide, tile, unpack } from "./format";
export { exp4_test } from "./self-check";
