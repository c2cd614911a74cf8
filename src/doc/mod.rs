//! Pages of documentation, without code.
//!
//! - [`for_pytorch_users`]: every call of `torch.nn.utils.prune` in Rust, and every difference.
//! - [`features`]: the cargo features.
//! - [`which_pruning`]: the kinds of pruning, and what each makes smaller or faster.
//! - [`pruning_during_training`]: recipes, and the calls of other libraries.

pub mod features;
pub mod for_pytorch_users;
pub mod pruning_during_training;
pub mod which_pruning;
