//! Pruning checkpoints: from options to a plan for each tensor, and the plan carried out.

pub(crate) mod candidates;
pub(crate) mod execute;
pub(crate) mod plan;
mod pruner;
pub(crate) mod remaining;
pub(crate) mod run;
pub(crate) mod selection;

pub use plan::tensor_seed;
pub use pruner::{Method, Prune, Scope};
pub use selection::{NOT_PRUNED_BY_DEFAULT, Selection};
