/** What becomes of a linear's sums, as text shared by its kernels. */

export const ACTIVATE = `
fn gated(gate: f32, up: f32) -> f32 {
  return gate / (1.0 + exp(-gate)) * up;
}`;
