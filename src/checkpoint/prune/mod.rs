//! Pruning checkpoints: from the options to a plan for each parameter, and its execution.

pub(crate) mod candidates;
pub(crate) mod execute;
#[cfg(test)]
mod granularity_tests;
pub(crate) mod loaded;
pub(crate) mod plan;
mod pruner;
pub(crate) mod remaining;
pub(crate) mod run;
pub(crate) mod selection;

pub use plan::tensor_seed;
pub use pruner::{Pruner, Scope};
pub use selection::{NOT_PRUNED_BY_DEFAULT, Selection};
