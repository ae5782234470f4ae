// The exports of the CPU kernels. docs: ../kernels.ts names and types them for TypeScript.
export { attend, write_cache } from "./attention";
export { attend_tiles } from "./attention-tiles";
export { dot_ceiling, read_ceiling } from "./ceiling";
export { embed, gated_linear, linear, norm_rope, pack_rows, prepare_rows, rms_norm } from "./ops";
export { pack_block_rows } from "./pack-blocks";
export { sample_row } from "./sample";
export { barrier } from "./sync";
export { row, set_wide, tile, unpack } from "./format";
export { exp4_test } from "./self-check";
