//! Pages of documentation, without code.
//!
//! - [`for_pytorch_users`]: every call of `torch.nn.utils.prune` in Rust, and every difference.
//! - [`features`]: the cargo features.
//! - [`which_pruning`]: which pruning makes what faster.

pub mod features;
pub mod for_pytorch_users;
pub mod which_pruning;
