//! Pruning checkpoints: from the options to a plan for each parameter, and its execution.

pub(crate) mod allocate;
mod axes;
pub(crate) mod calibrated;
pub(crate) mod candidates;
mod counts;
pub(crate) mod cut;
mod cut_file;
pub(crate) mod execute;
pub(crate) mod global;
#[cfg(test)]
mod granularity_tests;
pub(crate) mod kind;
mod layer_methods;
pub(crate) mod loaded;
pub(crate) mod nearest;
mod owl;
mod pattern;
pub(crate) mod plan;
mod pruner;
pub(crate) mod remaining;
pub(crate) mod run;
pub(crate) mod selection;

pub use counts::Counts;
pub use cut::Cut;
pub use owl::{Owl, owl};
pub use pruner::{Pruner, Scope};
pub use selection::Selection;
